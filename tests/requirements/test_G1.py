"""G1: the platform decides efficiency, security and reliability: every candidate is judged on cost,
performance, reliability, security and operations, and the inputs are shown.

Each rule names its pillar. What was not measured is called an estimate (R7), what nobody stated is
unknown; the hours of day 2 (R3) are Plinth's estimates.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from plinth.domain.plan import Candidate, Outcome, Plan
from plinth.domain.platform import Capability, Offer, Platform
from plinth.domain.workload import Endpoint, Job, Workload
from plinth.planning.advice import make_advice
from plinth.planning.context import Context, Market
from plinth.planning.planner import canonical_inputs, plan
from plinth.planning.rules import RULES
from plinth.planning.rules.rule import Pillar
from tests.planning.applications import CATALOG, CONTEXT, MACHINE, application, every_platform

PILLAR_OF = {rule.id: rule.pillar for rule in RULES}
# Said of the whole answer, by `advice.py`: they judge no candidate by themselves.
OF_THE_WHOLE = frozenset({"H16.step", "H15.tree"})
REQUIREMENTS = {"isolation": 2, "scale_to_zero": True, "regions": ["westeurope"]}
JOB = Job.model_validate(
    {"kind": "job", "name": "train", "command": ["python"], "requirements": REQUIREMENTS}
)
ENDPOINT = Endpoint.model_validate(
    {
        "kind": "endpoint",
        "name": "delay",
        "model": "models:/m@champion",
        "replicas": 2,
        "requirements": REQUIREMENTS,
    }
)


def platform(name: str, price: str | None, **capability: object) -> Platform:
    return Platform(
        name=name,
        description=name,
        capability=Capability.model_validate({"functions": ("train", "online"), **capability}),
        offers=(
            Offer(
                sku="small",
                region="westeurope",
                cpu=4,
                memory=16_000_000_000,
                price_per_hour=None if price is None else Decimal(price),
                count=4,
            ),
        ),
        source="a test of 2026",
    )


KNOWN = platform(
    "known", "0.20", isolation=3, scale_to_zero=True, interruptible=False, networks=("gateway",)
)
SPOT = platform(
    "spot", "0.05", isolation=0, scale_to_zero=False, interruptible=True, networks=("open",)
)
UNKNOWN = platform("unknown", None)
PLATFORMS = (KNOWN, SPOT, UNKNOWN)


def planned(workload: Workload) -> Plan:
    return plan(workload, PLATFORMS, Context(allowed_regions=("westeurope",)))


def candidates(made: Plan) -> dict[str, Candidate]:
    found = (*((made.chosen,) if made.chosen else ()), *made.rejected)
    return {candidate.platform: candidate for candidate in found}


@pytest.mark.parametrize("workload", [JOB, ENDPOINT], ids=["job", "endpoint"])
def test_every_candidate_is_judged_on_each_side_also_the_rejected(workload: Workload) -> None:
    found = candidates(planned(workload))
    assert set(found) == {"known", "spot", "unknown"}
    for candidate in found.values():
        judged = {PILLAR_OF[verdict.rule] for verdict in candidate.verdicts}
        assert judged == set(Pillar), f"{candidate.platform} is not judged on each side"


# With a question for each side, so that each has to be answered.
WHOLE = application(
    requirements={
        "regions": ["westeurope", "local"],
        "private_network": True,
        "budget": "3000 USD",
        "day2_hours": 10,
        "scale_to_zero": True,
    },
    explore={},
    train={"demand": {"duration": "2h"}},
    batch={"format": "mlflow-pyfunc", "demand": {"rows": 1000000, "rows_per_second": 500}},
    online={"format": "mlflow-pyfunc", "demand": {"replica_requests_per_second": 10}},
    flow={},
)


def test_every_real_candidate_of_every_function_is_judged_on_each_side() -> None:
    advice = make_advice(WHOLE, Market(every_platform(), CATALOG, CONTEXT, (MACHINE,)))
    judged = 0
    for part in advice.parts:
        for candidate in (*((part.chosen,) if part.chosen else ()), *part.rejected):
            ids = {verdict.rule for verdict in candidate.verdicts} - OF_THE_WHOLE
            sides = {PILLAR_OF[each] for each in ids if each in PILLAR_OF}
            where = f"{part.name} on {candidate.platform}: {sorted(ids)}"
            if candidate.offer.sku == "-":
                # Rejected as a whole, or nothing is sold: why stands there, and no size is judged.
                assert not candidate.is_feasible, where
                continue
            assert sides == set(Pillar), where
            judged += 1
    assert judged > len(every_platform())


def test_every_rule_has_a_pillar_a_question_and_an_id_of_its_own() -> None:
    assert {rule.pillar for rule in RULES} == set(Pillar)
    assert len(PILLAR_OF) == len(RULES)
    for rule in RULES:
        assert rule.question.endswith("."), rule.id
        assert rule.question.startswith("Tell "), rule.id


def test_the_cost_of_a_candidate_is_that_of_all_its_replicas() -> None:
    found = candidates(planned(ENDPOINT))
    assert found["known"].cost_per_hour == Decimal("0.40")
    assert found["spot"].cost_per_hour == Decimal("0.10")


def test_a_cheaper_candidate_does_not_win_where_it_is_not_secure_or_reliable() -> None:
    made = planned(ENDPOINT)
    assert made.chosen is not None
    assert made.chosen.platform == "known"
    why = {
        verdict.rule
        for verdict in candidates(made)["spot"].verdicts
        if verdict.outcome is Outcome.NOT_OK
    }
    assert why == {"R2.isolation", "T5b", "H1b"}


def test_what_is_not_known_is_said_and_never_counts_as_good() -> None:
    made = planned(ENDPOINT)
    unknown = candidates(made)["unknown"]
    outcomes = {verdict.rule: verdict.outcome for verdict in unknown.verdicts}
    assert {outcomes[rule] for rule in ("R2.isolation", "T5b", "H1b")} == {Outcome.UNKNOWN}
    assert unknown.cost_per_hour is None


def test_the_inputs_of_every_verdict_are_shown() -> None:
    made = planned(ENDPOINT)
    reasons = {verdict.rule: verdict.reason for verdict in candidates(made)["spot"].verdicts}
    assert reasons["cpu"] == "needs 1 core, has 4"
    assert reasons["memory"] == "needs 1.0 GB, has 16.0 GB"
    assert reasons["replicas"] == "needs 2 replicas, has room for 16"
    assert reasons["R2.isolation"] == "level 2 is required, it offers 0"
    assert all(reasons.values())


def test_a_plan_names_all_that_it_depends_on() -> None:
    made = planned(ENDPOINT)
    assert made.inputs_digest == planned(ENDPOINT).inputs_digest
    inputs = canonical_inputs(ENDPOINT, PLATFORMS, Context())
    assert all(each in inputs for each in (b'"price_per_hour":"0.20"', b"a test of 2026"))
    cheaper = platform("known", "0.19", isolation=3)
    changed = plan(ENDPOINT, (cheaper, SPOT, UNKNOWN), Context(allowed_regions=("westeurope",)))
    assert changed.inputs_digest != made.inputs_digest
