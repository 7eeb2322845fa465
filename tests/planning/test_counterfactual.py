"""Every change that is named has been tried: with it, the platform is admitted."""

from __future__ import annotations

import itertools

import pytest

from plinth.domain.plan import Outcome
from plinth.kit.errors import NotFound
from plinth.planning.counterfactual import Asked, WhyNot, differences, relaxations, why_not
from tests.planning.applications import MARKET, PLATFORMS, application, at_random

NAMES = tuple(platform.name for platform in PLATFORMS)


def asked_of(declared: object) -> Asked:
    return Asked(declared, MARKET)  # type: ignore[arg-type]


def named(asked: Asked, platform: str, part: str) -> WhyNot:
    return next(each for each in why_not(asked, platform) if each.part == part)


def holds(asked: Asked, found: WhyNot) -> None:
    """Check that the changes admit the platform, and that no fewer do."""
    assert found.changes is not None

    def admitted(changes: object) -> bool:
        ways = asked.changed(changes).judged(found.part, found.platform)  # type: ignore[arg-type]
        tier = found.candidate.offer.tier
        return any(each.is_feasible for each in ways if each.offer.tier == tier)

    assert admitted(found.changes), [str(each) for each in found.changes]
    for fewer in itertools.combinations(found.changes, max(0, len(found.changes) - 1)):
        if fewer != found.changes:
            assert not admitted(fewer), [str(each) for each in fewer]


@pytest.mark.parametrize("block", range(20))
def test_the_changes_that_are_named_admit_the_platform_and_fewer_do_not(block: int) -> None:
    # 20 blocks of 50: a thousand applications, each asked about one platform.
    for seed in range(block * 50, block * 50 + 50):
        asked = asked_of(at_random(seed))
        for found in why_not(asked, NAMES[seed % len(NAMES)]):
            if found.changes is None:
                continue
            holds(asked, found)
            chosen = {
                part.name: part.chosen for part in asked.changed(found.changes).advise().parts
            }[found.part]
            assert found.would_be_chosen == (
                chosen is not None and chosen.platform == found.platform
            ), seed


def test_every_single_change_makes_its_own_rule_say_ok() -> None:
    tried = 0
    for seed in range(200):
        asked = asked_of(at_random(seed))
        for part in asked.advise().parts:
            for candidate in part.rejected[:3]:
                for verdict in candidate.verdicts:
                    if verdict.outcome is not Outcome.NOT_OK or verdict.change is None:
                        continue
                    tried += 1
                    ways = asked.changed([verdict.change]).judged(part.name, candidate.platform)
                    said = [
                        each.outcome
                        for way in ways
                        if way.offer.tier == candidate.offer.tier
                        for each in way.verdicts
                        if each.rule == verdict.rule
                    ]
                    assert Outcome.NOT_OK not in said, (seed, verdict.rule, str(verdict.change))
    assert tried > 300


def test_an_admitted_platform_needs_no_change() -> None:
    asked = asked_of(application(train={"demand": {"duration": "1h"}}))
    found = named(asked, "local", "train")
    assert (found.failing, found.changes, found.would_be_chosen) == ((), (), True)


def test_what_is_missing_is_named_with_the_fewest_changes() -> None:
    asked = asked_of(
        application(train={"resources": {"cpu": 64}, "requirements": {"platform": "local"}})
    )
    found = named(asked, "local", "train")
    assert [str(each) for each in found.changes or ()] == ["train.resources.cpu: 8.0"]
    assert found.would_be_chosen


def test_what_no_change_admits_says_so() -> None:
    found = named(asked_of(application(flow={})), "ray", "flow")
    assert found.changes is None
    assert "G2" in {verdict.rule for verdict in found.failing}


def test_a_change_of_the_inventory_is_one_too() -> None:
    asked = asked_of(application(requirements={"regions": ["westeurope"]}, train={}))
    found = named(asked, "kubernetes", "train")
    assert found.changes is not None
    assert any(change.of_inventory for change in found.changes)
    assert "plinth inventory add kubernetes" in " ".join(map(str, found.changes))


def test_a_platform_that_nobody_knows_is_refused_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="did you mean `databricks-jobs`"):
        why_not(asked_of(application(train={})), "databrick-jobs")


def test_a_contradiction_names_the_nearest_that_would_do() -> None:
    asked = asked_of(
        application(
            requirements={"regions": ["westeurope"], "residency": "united-states"},
            online={"format": "onnx"},
        )
    )
    advice = asked.advise()
    assert not advice.is_feasible
    found = relaxations(asked, "online")
    assert found
    assert all(each.changes for each in found)
    for each in found:
        holds(asked, each)


def test_differences_name_what_is_placed_otherwise_and_why() -> None:
    small = asked_of(application(requirements={"platform": "local"}, train={}))
    large = asked_of(
        application(requirements={"platform": "local"}, train={"resources": {"cpu": 64}})
    )
    before, after = small.advise(), large.advise()
    found = {each.platform: each for each in differences(before, after)}
    assert (found["local"].before, found["local"].after) == ("chosen", "rejected")
    assert [rule.rule for rule in found["local"].rules] == ["cpu"]
    assert differences(before, before) == ()
