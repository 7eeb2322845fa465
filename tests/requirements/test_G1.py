"""G1: the platform decides efficiency, security and reliability: every candidate is judged on cost,
performance, reliability, security and operations, and the inputs are shown.

What holds today, rule by rule:
- cost: the price of an hour for all replicas, where an offer has one. The local machine has none in
  a plan yet: its rates stand in the bill only, so its cost is shown as unknown.
- performance: whether cores, memory and accelerators suffice. Nothing is measured or estimated yet
  (R7).
- reliability: room for all replicas, and capacity that is taken back. No zones, no targets (H4).
- security: isolation, a job's network, regions. Identity and encryption are not compared.
- operations: whether it does the function at all, and scales to zero. No day-2 hours yet (R3).
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from plinth.domain.plan import Candidate, Outcome, Plan
from plinth.domain.platform import Capability, Offer, Platform
from plinth.domain.workload import Endpoint, Job, Workload
from plinth.planning.context import Context
from plinth.planning.explain import candidate_rows
from plinth.planning.planner import canonical_inputs, plan

RULES_OF = {
    "performance": {"cpu", "memory", "accelerator"},
    "reliability": {"replicas", "T5b"},
    "security": {"R2.isolation", "R2.regions", "R2.policy", "network"},
    "operations": {"G2", "H1b", "platform"},
}
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
        rules = {verdict.rule for verdict in candidate.verdicts}
        for side, of_side in RULES_OF.items():
            assert rules & of_side, f"{candidate.platform} is not judged on {side}"
        # A new rule says here on which side it judges.
        assert rules <= set().union(*RULES_OF.values())


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
    prices = {row.platform: row.price for row in candidate_rows(made)}
    assert "unknown" in prices["unknown"]


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
