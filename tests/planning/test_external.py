"""A model elsewhere needs no platform, and data goes there only where the file allows."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.catalog.catalog import Catalog
from plinth.domain.plan import Outcome
from plinth.domain.workload import Endpoint
from plinth.planning.context import Context
from plinth.planning.external import external_verdicts, judge_external


def endpoint(region: str | None = None, **requirements: Any) -> Endpoint:
    external = {"url": "https://api.example.com/v1", "protocol": "openai", "region": region}
    return Endpoint.model_validate(
        {
            "kind": "endpoint",
            "name": "chat",
            "deployments": {"own": {"model": "models:/m/1"}, "burst": {"external": external}},
            "capacity": {"base": "own", "burst": "burst"},
            "requirements": requirements,
        }
    )


@pytest.mark.parametrize(
    ("region", "requirements", "rules"),
    [
        (None, {}, {}),
        ("westeurope", {"regions": ("westeurope",)}, {"R2.regions": Outcome.OK}),
        ("eastus", {"regions": ("eu",)}, {"R2.regions": Outcome.NOT_OK}),
        ("westeurope", {"residency": "eu"}, {"R2.residency": Outcome.OK}),
        ("eastus", {"residency": "eu"}, {"R2.residency": Outcome.NOT_OK}),
        (None, {"residency": "eu"}, {"R2.residency": Outcome.NOT_OK}),
        ("atlantis", {"residency": "eu"}, {"R2.residency": Outcome.UNKNOWN}),
    ],
)
def test_only_where_it_is_processed_is_judged(
    region: str | None, requirements: dict[str, Any], rules: dict[str, Outcome]
) -> None:
    found = judge_external(endpoint(region, **requirements), "burst", Context())
    assert {each.rule: each.outcome for each in found} == rules


def test_a_team_that_may_not_use_a_region_may_not_send_there() -> None:
    (verdict,) = judge_external(
        endpoint("eastus"), "burst", Context(allowed_regions=("westeurope",))
    )
    assert (verdict.rule, verdict.outcome) == ("R2.policy", Outcome.NOT_OK)


def test_one_that_is_our_own_is_not_judged_so() -> None:
    with pytest.raises(ValueError, match="`own` is not external"):
        judge_external(endpoint(), "own", Context())


def test_each_is_named_in_what_is_said() -> None:
    said = external_verdicts(endpoint("eastus", residency="eu"), Context(), Catalog())
    assert [each.rule for each in said] == ["external", "R2.residency"]
    assert "`burst` is served at `api.example.com`" in said[0].reason
    assert said[1].reason.startswith("`burst`: data must stay")
    plain = Endpoint(kind="endpoint", name="a", model="models:/m/1")
    assert external_verdicts(plain, Context(), Catalog()) == ()
