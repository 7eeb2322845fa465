"""Of each part: the verdicts by pillar, the limits, the others and what would admit them."""

from __future__ import annotations

from plinth.cli.plan_report_part import (
    FUNCTION,
    open_questions,
    part_section,
    question,
    regions_section,
    verdict_table,
)
from plinth.planning.rules import RULES
from tests.cli.plan_report_case import NOT_OK, OK, ONLINE, TRAIN, UNKNOWN, make_advice, verdict


def test_what_is_against_it_comes_first_within_a_pillar() -> None:
    page = verdict_table(
        [verdict("cpu", OK, "has 2"), verdict("memory", NOT_OK, "has 1"), verdict("x", OK, "?")]
    )
    assert page.index("has 1") < page.index("has 2") < page.index("operations")


def test_the_question_of_a_rule_is_told_as_one() -> None:
    rule = RULES[0]
    assert question(rule.id)
    assert not question(rule.id).startswith("Tell ")
    assert question("of nobody") == ""


def test_limits_say_what_is_reachable_or_how_to_state_it() -> None:
    assert "<code>plinth catalog import FILE</code> states it" in part_section(TRAIN)
    page = part_section(ONLINE)
    assert "300 units" in page
    assert "63%" in page


def test_blind_spots_that_nobody_stated_are_no_claim_that_there_are_none() -> None:
    assert ONLINE.chosen is not None
    assert "No blind spot is known." in part_section(ONLINE)
    silent = ONLINE.chosen.model_copy(update={"blind_spots": None})
    page = part_section(ONLINE.model_copy(update={"chosen": silent}))
    assert "Unknown: nobody has stated it." in page


def test_the_others_are_compared_with_the_chosen_one() -> None:
    page = part_section(TRAIN)
    assert "+35.16" in page
    assert "no change of the file or the inventory helps" in page


def test_what_is_made_for_something_else_is_told_in_short() -> None:
    rule = verdict(FUNCTION, NOT_OK, "needs the function `train`; it does `flow`")
    other = TRAIN.rejected[1].model_copy(update={"verdicts": (rule,)})
    page = part_section(TRAIN.model_copy(update={"rejected": (other,)}))
    assert "Rejected as made for something else (1)" in page
    assert "G2: needs the function" in page
    assert '<div class="card">' not in page


def test_regions_that_are_ruled_out_for_one_reason_share_a_row() -> None:
    page = regions_section((TRAIN, ONLINE))
    assert "eastus, westus, japaneast" in page
    assert "every part" in page
    assert "… is not in" in page
    assert regions_section((TRAIN.model_copy(update={"regions": {}}),)) == ""
    assert ">train<" in regions_section((TRAIN, ONLINE.model_copy(update={"regions": {}})))


def test_open_questions_are_those_of_the_chosen_places_and_of_the_whole() -> None:
    advice = make_advice().model_copy(update={"joint": (verdict("R5", UNKNOWN, "no price"),)})
    assert [row[:2] for row in open_questions(advice)] == [["train", "R4"], ["the whole", "R5"]]
