"""What all rules for online inference and for models promise: random needs, real platforms."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, get_args

import pytest

from plinth.catalog.platforms import load_facts
from plinth.domain.application import Application
from plinth.domain.need import Need, needs_of
from plinth.domain.plan import Outcome, Verdict
from plinth.domain.platform import Capability, ModelFormat, Offer, PriceTier
from plinth.domain.workload import Endpoint, Job
from plinth.planning.context import Placement
from plinth.planning.rules.model import MODEL
from plinth.planning.rules.online import ONLINE
from plinth.planning.rules.rule import Rule, Scope
from tests.planning.rules.placed import application, apply, need_of, owning, place

RULES = (*MODEL, *ONLINE)
PARTS = ("online", "batch", "flow", "train")
PLATFORMS = tuple(facts.name for facts in load_facts())
SEEDS = range(8)
CRITICALITIES = (None, "dev", "test", "production", "critical")
ENDPOINT = {"kind": "endpoint", "name": "delay", "model": "models:/m@champion", "replicas": 2}
JOB = {"kind": "job", "name": "train", "command": ["python"]}


def demand_of(pick: random.Random) -> dict[str, Any]:
    base = pick.choice((0, 0.5, 3, 40))
    return {
        "requests_per_second": base,
        "peak_requests_per_second": base * pick.choice((1, 2, 10)),
        "replica_requests_per_second": pick.choice((None, 0.4, 5, 100)),
        "measured_latency": pick.choice((None, 0.1, 0.9, 20, 400)),
    }


def random_part(pick: random.Random, part: str) -> dict[str, Any]:
    """Return the fields of a part, at random."""
    fields: dict[str, Any] = {
        "requirements": {
            "criticality": pick.choice(CRITICALITIES),
            "latency": pick.choice((None, 0.2, 2, 250, 900)),
            "guaranteed_throughput": pick.random() < 0.4,
            "interruptible": pick.random() < 0.3,
        },
        "resources": {
            "cpu": pick.choice((0.1, 1, 3, 16)),
            "memory": pick.choice(("500MB", "8GB")),
            "accelerator": pick.choice((None, "A100", "T4:2")),
        },
    }
    if part in ("online", "flow"):
        fields["demand"] = demand_of(pick)
        fields["replicas"] = pick.choice((1, 2, 3, 9, 40))
    if part in ("online", "batch"):
        if pick.random() < 0.4:
            fields["model"] = pick.choice(("gpt-4o", "gpt-4o-mini"))
        else:
            fields["format"] = pick.choice((None, *get_args(ModelFormat)))
            fields["server"] = pick.choice((None, "triton", "torchserve", "vllm", "my-own"))
    if part == "online":
        fields["split"] = pick.random() < 0.5
        fields["mirror_percent"] = pick.choice((0, 10, 60))
    return fields


def random_place(pick: random.Random) -> Placement:
    """Return a real platform with an offer at random, of machines that may be one's own."""
    tier = pick.choice((None, *get_args(PriceTier)))
    model = pick.choice((None, None, "gpt-4o"))
    placement = place(pick.choice(PLATFORMS), tier=tier, model=model, cpu=0 if model else 4)
    machines = pick.choice((None, 1, 2, 5))
    if machines is None or model:
        return placement
    offer = placement.offer.model_copy(update={"count": machines})
    there = replace(placement, offer=offer)
    size = {"cpu": 4, "memory": offer.memory, "region": offer.region, "count": machines}
    return owning(there, placement.platform.name, **size)


def asked(rule: Rule, need: Need, placement: Placement) -> Verdict | None:
    return rule.ask(need, placement) if need.function in rule.functions else None


def cases(seed: int) -> list[tuple[str, Application, Placement]]:
    pick = random.Random(seed)
    found = []
    for _ in range(30):
        part = pick.choice(PARTS)
        whole = application(part, **{part: random_part(pick, part)})
        found.append((part, whole, random_place(pick)))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_every_change_alone_makes_its_rule_say_yes(seed: int) -> None:
    tried = 0
    for part, whole, placement in cases(seed):
        for rule in RULES:
            said = asked(rule, need_of(whole, part), placement)
            if said is None or said.change is None:
                continue
            assert said.outcome is Outcome.NOT_OK
            if said.change.of_inventory:
                assert isinstance(said.change.value, dict)
                there = owning(placement, said.change.field, **said.change.value)
                then = asked(rule, need_of(whole, part), there)
            else:
                then = asked(rule, apply(whole, said.change, part), placement)
            # A question that does not arise any more rejects nothing either.
            assert then is None or then.outcome is Outcome.OK, (placement.platform.name, said)
            tried += 1
    assert tried > 8


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rule_of_a_way_is_the_same_for_every_region_size_and_count(seed: int) -> None:
    for part, whole, placement in cases(seed):
        offer = Offer(sku="other", region="eastus", cpu=99, memory=1, tier=placement.offer.tier)
        moved = replace(placement, offer=offer, count=7, cost=None)
        for rule in (each for each in RULES if each.scope is Scope.WAY):
            need = need_of(whole, part)
            assert asked(rule, need, placement) == asked(rule, need, moved), rule.id


@pytest.mark.parametrize("seed", SEEDS)
def test_a_platform_of_which_nothing_is_known_is_never_rejected_for_it(seed: int) -> None:
    for part, whole, placement in cases(seed):
        functions = placement.platform.capability.functions
        bare = placement.platform.model_copy(
            update={"name": "new", "capability": Capability(functions=functions)}
        )
        for rule in (each for each in RULES if each.id not in ("H0b", "H10", "H19b", "H19c")):
            there = replace(placement, platform=bare)
            said = asked(rule, need_of(whole, part), there)
            why = rule.id == "H8a" and said is not None and said.reason.startswith("measured")
            assert why or said is None or said.outcome is not Outcome.NOT_OK, said


def test_what_runs_on_this_machine_today_is_rejected_by_none() -> None:
    for workload in (Endpoint.model_validate(ENDPOINT), Job.model_validate(JOB)):
        (need,) = needs_of(workload)
        said = [asked(rule, need, place("local")) for rule in RULES]
        assert [each for each in said if each is not None] == []


def test_every_reason_is_one_line_without_a_full_stop() -> None:
    for part, whole, placement in cases(99):
        for rule in RULES:
            said = asked(rule, need_of(whole, part), placement)
            if said is None:
                continue
            assert said.rule == rule.id
            assert "\n" not in said.reason
            assert not said.reason.endswith(".")


def test_an_endpoint_on_a_cluster_that_it_fills_is_told_how_many_replicas_leave_a_machine() -> None:
    full = Endpoint.model_validate(
        {**ENDPOINT, "replicas": 8, "requirements": {"criticality": "production"}}
    )
    there = place("kubernetes", tier="own-hardware")
    there = replace(there, offer=there.offer.model_copy(update={"count": 2}))
    rule = next(each for each in ONLINE if each.id == "H19a")
    said = rule.ask(needs_of(full)[0], there)
    assert said is not None
    assert said.remedy == "`replicas: 4`"


def test_an_endpoints_file_cannot_say_what_was_measured() -> None:
    one = Endpoint.model_validate({**ENDPOINT, "requirements": {"latency": "200ms"}})
    rule = next(each for each in ONLINE if each.id == "H8a")
    said = rule.ask(needs_of(one)[0], place("local"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason.endswith("write it in an application's file")
