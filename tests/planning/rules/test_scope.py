"""A rule reads no more of a placement than its scope says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plinth.catalog.catalog import Catalog
from plinth.catalog.platforms import capability_of, load_facts
from plinth.domain.application import Application
from plinth.domain.need import Need, needs_of
from plinth.domain.platform import Capability, Offer, Platform
from plinth.planning.context import Context, Placement
from plinth.planning.rules import RULES
from plinth.planning.rules.rule import Rule, Scope

CATALOG = Catalog()
DECLARED = {
    "kind": "application",
    "name": "everything",
    "requirements": {
        "regions": ["eu"],
        "residency": "eu",
        "criticality": "production",
        "rto": "2h",
        "freshness": "7d",
        "latency": "300ms",
        "guaranteed_throughput": True,
        "private_network": True,
        "identity": "entra-id",
        "budget": "900 USD",
        "day2_hours": 12,
        "isolation": 2,
        "scale_to_zero": True,
        "same_region": True,
    },
    "data": {"rows": {"size": "3TB", "region": "northeurope", "platform": "databricks-jobs"}},
    "explore": {"data": ["rows"], "resources": {"accelerator": "T4"}, "team_share": True},
    "train": {"data": ["rows"], "nodes": 3, "demand": {"runs": 9, "duration": "9h"}},
    "tune": {"method": "lora", "base_model": "gpt-4o", "demand": {"tokens": 100000}},
    "batch": {"data": ["rows"], "spark": True, "format": "onnx", "window": "2h", "nodes": 2},
    "online": {
        "format": "onnx",
        "server": "triton",
        "split": True,
        "mirror_percent": 70,
        "requirements": {"isolate_from": ["batch"]},
    },
    "flow": {"tool": "langchain"},
}
NEEDS = needs_of(Application.model_validate(DECLARED))
PLATFORMS = tuple(
    Platform(
        name=facts.name,
        description=facts.description,
        capability=capability_of(facts),
        offers=(),
        source=facts.source,
    )
    for facts in load_facts()
)
EMPTY = Platform(
    name="-", description="-", capability=Capability(functions=()), offers=(), source="a test"
)
SMALL = Offer(sku="B1s", region="eastus", cpu=1, memory=10**9, tier="pay-as-you-go")
LARGE = Offer(
    sku="D16s_v5",
    region="northeurope",
    cpu=16,
    memory=64 * 10**9,
    price_per_hour=None,
    tier="pay-as-you-go",
    count=7,
    standby="westeurope",
    available=True,
)


def of_scope(scope: Scope) -> list[Rule]:
    return [rule for rule in RULES if rule.scope is scope]


def asked(rule: Rule, need: Need, place: Placement) -> object:
    verdict = rule.ask(need, place)
    return None if verdict is None else verdict.model_dump()


@pytest.mark.parametrize("rule", of_scope(Scope.WAY), ids=lambda rule: rule.id)
def test_a_rule_of_a_way_does_not_read_the_offer(rule: Rule) -> None:
    for need in NEEDS:
        if need.function not in rule.functions:
            continue
        for platform in PLATFORMS:
            one = Placement(platform, SMALL, Context(), CATALOG)
            other = replace(one, offer=LARGE, count=9)
            assert asked(rule, need, one) == asked(rule, need, other), platform.name


@pytest.mark.parametrize("rule", of_scope(Scope.REGION), ids=lambda rule: rule.id)
def test_a_rule_of_a_region_does_not_read_the_platform_or_the_size(rule: Rule) -> None:
    for need in NEEDS:
        if need.function not in rule.functions:
            continue
        bare = Offer(sku="-", region=LARGE.region, cpu=0, memory=0)
        here = Placement(EMPTY, bare, Context(), CATALOG)
        for platform in PLATFORMS:
            there = Placement(platform, LARGE, Context(), CATALOG)
            assert asked(rule, need, here) == asked(rule, need, there), platform.name


def test_every_rule_says_the_id_that_it_has() -> None:
    for need in NEEDS:
        for rule in RULES:
            if need.function not in rule.functions:
                continue
            for platform in PLATFORMS:
                verdict = rule.ask(need, Placement(platform, LARGE, Context(), CATALOG))
                assert verdict is None or verdict.rule == rule.id


def test_every_id_is_there_once_for_a_function() -> None:
    for need in NEEDS:
        ids = [rule.id for rule in RULES if need.function in rule.functions]
        assert len(ids) == len(set(ids))


def test_every_rule_asks_a_question() -> None:
    for rule in RULES:
        assert rule.question.startswith(("Tell", "Say")), rule.id
        assert rule.question.endswith("."), rule.id
