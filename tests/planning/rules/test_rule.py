"""What a rule is, and how it says yes, no and unknown."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from plinth.catalog.catalog import Catalog
from plinth.domain.application import Application
from plinth.domain.need import Need, needs_of
from plinth.domain.plan import Change, Outcome, Verdict
from plinth.domain.platform import Offer, Platform
from plinth.planning.change import change_context, change_declaration
from plinth.planning.context import Placement
from plinth.planning.offers.offers import Offers
from plinth.planning.rules import RULES, RULES_OF
from plinth.planning.rules.rule import (
    EVERY,
    Pillar,
    Rule,
    Scope,
    counted,
    listed,
    not_ok,
    ok,
    set_field,
    unknown,
)
from tests.catalog.imported import imported
from tests.planning.applications import CONTEXT, MACHINE, at_random, every_platform
from tests.planning.rules.placed import month_cost, need

CATALOG_WITH = Catalog(
    [
        imported("quotas", "quota,of,region,limit,used", "cpu,,westeurope,40,10"),
        imported("regions", "region,zones", "westeurope,3", "eastus,1", name="zones.csv"),
    ]
)
OFFERS = Offers(CATALOG_WITH, CONTEXT, (MACHINE,))


def somewhere(need: Need, platform: Platform, dice: random.Random) -> Placement:
    """Return an offer of a platform that need not make sense: rules answer for each."""
    model = need.model if dice.random() < 0.5 else None
    offer = Offer(
        sku="D4s_v5",
        region=dice.choice(["westeurope", "eastus", "local", "anywhere", "unstated"]),
        cpu=4 if model is None else 0,
        memory=16 * 2**30 if model is None else 0,
        tier=dice.choice([None, *(platform.capability.supply.tiers or ())]),
        model=model,
        processed_in=dice.choice([None, "region", "data-zone", "global"]) if model else None,
        standby=dice.choice([None, "northeurope", "westus"]),
        currency="USD",
        count=dice.choice([None, 1, 3]),
    )
    cost = month_cost(dice.choice([None, "77.123", "90000"]))
    count = OFFERS.count(need, offer)
    return Placement(platform, offer, CONTEXT, CATALOG_WITH, count, cost)


def changed(
    declared: Application, part: str, before: Placement, change: Change
) -> tuple[Need, Placement]:
    """Return the need and the placement with a change made."""
    context = change_context(before.context, [change])
    made = change_declaration(declared, [change])
    then = next(each for each in needs_of(made) if each.name == part)
    count = OFFERS.count(then, before.offer)
    return then, replace(before, context=context, count=count)


@pytest.mark.parametrize("seed", range(20))
def test_every_change_alone_makes_its_rule_say_yes(seed: int) -> None:
    dice, declared = random.Random(seed), at_random(seed)
    for wanted in needs_of(declared):
        for each in dice.sample(every_platform(), 4):
            here = somewhere(wanted, each, dice)
            for rule in RULES_OF[wanted.function]:
                said = rule.ask(wanted, here)
                if said is None or said.change is None:
                    continue
                assert said.outcome is Outcome.NOT_OK
                then = rule.ask(*changed(declared, wanted.name, here, said.change))
                assert then is None or then.outcome is Outcome.OK, (said, then)


def is_near(_need: Need, _placement: Placement) -> Verdict | None:
    """Tell whether it is near
    enough.

    What comes after is for programmers.
    """
    return None


def test_its_question_is_the_first_sentence_on_one_line() -> None:
    rule = Rule("near", Pillar.PERFORMANCE, Scope.REGION, is_near)
    assert rule.question == "Tell whether it is near enough."
    assert rule.functions == EVERY


def test_a_no_tells_the_change_in_words() -> None:
    said = not_ok("near", "it is far away", Change(field="requirements.rto", value="4h"))
    assert said.outcome is Outcome.NOT_OK
    assert said.remedy == "`requirements.rto: 4h`"
    assert not_ok("near", "it is far away").remedy is None


def test_a_yes_and_an_unknown_have_no_change() -> None:
    assert ok("near", "it is here") == Verdict(rule="near", outcome=Outcome.OK, reason="it is here")
    assert unknown("near", "nobody said").outcome is Outcome.UNKNOWN
    assert unknown("near", "nobody said").change is None


def test_a_change_is_of_the_part_that_the_need_is_of() -> None:
    assert set_field(need(), "replicas", 3) == Change(field="online.replicas", value=3)


def test_names_and_numbers_are_written_for_people() -> None:
    assert listed(("a", "b")) == "`a`, `b`"
    assert (counted(1, "core", "g"), counted(2.5, "core", "g")) == ("1 core", "2.5 cores")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_asks_one_sentence_of_at_least_one_function(rule: Rule) -> None:
    assert rule.functions
    assert rule.question.startswith("Tell ")
    assert rule.question.count(". ") == 0


def test_ids_differ_and_every_function_has_rules() -> None:
    ids = [rule.id for rule in RULES]
    assert len(ids) == len(set(ids))
    assert set(RULES_OF) == EVERY
    assert all(RULES_OF.values())
