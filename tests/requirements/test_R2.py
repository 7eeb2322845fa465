"""R2: compliance limits regions, and parts may need isolation: hard rules of a plan.

Residency while data is kept (R2.residency) and processed (R2.processing), allowed regions of the
file and of the team, the same for the region that stands by, and compute apart (R2.apart).
"""

from __future__ import annotations

import pytest

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.context import Context
from plinth.planning.rules import RULES
from plinth.planning.rules.basic import region_allowed, region_required
from plinth.planning.rules.place import (
    processing_kept,
    residency_kept,
    standby_allowed,
    standby_required,
    standby_resident,
)
from plinth.planning.rules.protect import compute_apart
from plinth.planning.rules.rule import Pillar
from tests.planning.rules.placed import admitted, application, owning, place, with_facts

IN_EU = application(requirements={"residency": "eu", "regions": ["eu"]}, online={"model": "gpt-4o"})
(NEED,) = needs_of(IN_EU)
HOSTED = {"model": "gpt-4o", "cpu": 0, "memory": 0}
TEAM = Context(allowed_regions=("westeurope",), currency="USD")


def test_a_place_in_the_eu_is_accepted_with_the_reason() -> None:
    at = place(
        *("azure-openai-standard", "swedencentral"),
        processed_in="data-zone",
        standby="northeurope",
        **HOSTED,
    )
    asks = (residency_kept, processing_kept, region_required, standby_resident, standby_required)
    said = [ask(NEED, at) for ask in asks]
    assert [each.reason for each in said if each is not None] == [
        "`swedencentral` is in `eu`, where data must stay",
        "its data zone is `eu`, within `eu`",
        "`swedencentral` is in `eu`",
        "where it stands by: `northeurope` is in `eu`, where data must stay",
        "where it stands by: `northeurope` is in `eu`",
    ]
    assert {each.outcome for each in said if each is not None} == {Outcome.OK}


def test_another_region_is_rejected_with_the_country() -> None:
    said = residency_kept(NEED, place("aks", "eastus"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "data must stay in `eu`; `eastus` is in United States",
    )
    assert admitted(residency_kept, IN_EU, place("aks", "eastus"))


def test_a_global_deployment_in_the_eu_is_rejected() -> None:
    at = place("azure-openai-standard", "swedencentral", processed_in="global", **HOSTED)
    assert residency_kept(NEED, at) is not None
    said = processing_kept(NEED, at)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "data must stay in `eu`; a global deployment processes it in any region; a deployment to a "
        "region or a data zone may keep it",
    )


def test_a_second_region_outside_is_rejected_as_the_first_would_be() -> None:
    at = place("aks", "westeurope", standby="uksouth", context=TEAM)
    for ask in (standby_resident, standby_required, standby_allowed):
        said = ask(NEED, at)
        assert said is not None
        assert said.outcome is Outcome.NOT_OK
        assert said.reason.startswith("where it stands by: ")
    assert admitted(standby_resident, IN_EU, at)
    assert admitted(standby_required, IN_EU, at)


def test_the_team_has_regions_of_its_own() -> None:
    inside = region_allowed(NEED, place("aks", "westeurope", context=TEAM))
    outside = region_allowed(NEED, place("aks", "northeurope", context=TEAM))
    assert inside is not None
    assert outside is not None
    assert inside.reason == "the team may use `westeurope`"
    assert (outside.outcome, outside.change) == (Outcome.NOT_OK, None)


def test_what_is_not_known_is_said() -> None:
    said = residency_kept(NEED, place("local", "local"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "where it stands is not known, `plinth inventory add` says it" in said.reason


APART = application(flow={}, online={"requirements": {"isolate_from": ["flow"]}})


@pytest.mark.parametrize(
    ("name", "outcome", "reason"),
    [
        ("aks", Outcome.OK, "a pool of nodes of its own keeps it apart from `flow`"),
        (
            *("azureml-online-endpoint", Outcome.OK),
            "instances of its own keep it apart from `flow`",
        ),
        (
            *("azure-openai-standard", Outcome.NOT_OK),
            "apart from `flow`: its provider shares the compute between all that use it",
        ),
        (
            *("local", Outcome.NOT_OK),
            "apart from `flow`: it is one machine, whose processors all parts share",
        ),
    ],
)
def test_a_part_that_must_not_share_compute_gets_its_own(
    name: str, outcome: Outcome, reason: str
) -> None:
    said = compute_apart(needs_of(APART)[0], place(name))
    assert said is not None
    assert (said.outcome, said.reason) == (outcome, reason)
    assert outcome is Outcome.OK or admitted(compute_apart, APART, place(name))


def test_they_are_rules_of_security_and_are_asked_for_every_function() -> None:
    found = [rule for rule in RULES if rule.id.split(".")[0] == "R2"]
    assert {rule.id for rule in found} >= {"R2.residency", "R2.processing", "R2.apart"}
    for rule in found:
        assert rule.pillar is Pillar.SECURITY
        assert len(rule.functions) == 5


def test_a_group_of_regions_that_the_team_may_use_is_expanded() -> None:
    context = Context(allowed_regions=("eu",), currency="USD")
    said = region_allowed(NEED, place("aks", "westeurope", context=context))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "the team may use `eu`, which `westeurope` is in",
    )
    away = region_allowed(NEED, place("aks", "eastus", context=context))
    assert away is not None
    assert away.outcome is Outcome.NOT_OK


def test_where_this_machine_stands_counts_for_what_the_team_may_use() -> None:
    here = owning(place("local", "local", context=TEAM), "local", region="westeurope")
    said = region_allowed(NEED, here)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "this machine stands in `westeurope`, which the team may use",
    )
    there = owning(place("local", "local", context=TEAM), "local", region="eastus")
    away = region_allowed(NEED, there)
    assert away is not None
    assert (away.outcome, away.reason) == (
        Outcome.NOT_OK,
        "it is in `eastus`; the team may use `westeurope`",
    )


@pytest.mark.parametrize(
    ("processed", "words"), [("global", "in any region"), ("data-zone", "anywhere in `eu`")]
)
def test_regions_without_residency_say_that_requests_go_further(processed: str, words: str) -> None:
    whole = application(requirements={"regions": ["westeurope"]}, online={"model": "gpt-4o"})
    at = place("azure-openai-standard", processed_in=processed, **HOSTED)
    said = processing_kept(needs_of(whole)[0], at)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        f"`regions` says where it stands; requests are processed {words}: state "
        "`online.requirements.residency` to forbid that",
    )
    near = place("azure-openai-standard", processed_in="region", **HOSTED)
    assert processing_kept(needs_of(whole)[0], near) is None


def test_residency_is_not_given_up_where_another_deployment_would_do() -> None:
    at = place("azure-openai-standard", processed_in="global", **HOSTED)
    said = processing_kept(NEED, at)
    assert said is not None
    assert (said.outcome, said.change) == (Outcome.NOT_OK, None)
    assert said.reason.endswith("; a deployment to a region or a data zone may keep it")
    only = with_facts(at, regions={"processed_in": ("global",)})
    last = processing_kept(NEED, only)
    assert last is not None
    assert last.remedy == "`online.requirements.residency: null`"


@pytest.mark.parametrize("name", ["azureml-serverless-compute", "azureml-serverless-spot"])
def test_a_job_with_machines_of_its_own_is_apart(name: str) -> None:
    whole = application("train", online={}, train={"requirements": {"isolate_from": ["online"]}})
    said = compute_apart(needs_of(whole)[0], place(name))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "machines made for each job keep it apart from `online`",
    )
