"""Costs: every line with its arithmetic, estimates marked, the unknown said with what fills it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from decimal import Decimal

from plinth.cli.plan_report_cost import OTHERS, cost_groups, cost_section, known_amount
from plinth.domain.plan import CostLine, MonthCost
from tests.cli.plan_report_case import ONLINE, TRAIN, make_advice


def test_lines_stand_with_their_part_and_the_rest_by_itself() -> None:
    advice = make_advice()
    moved = CostLine(what="data to swedencentral", amount=Decimal("3.20"), how="160 GB x 0.02")
    lines = (*advice.cost.lines, moved)
    cost = advice.cost.model_copy(update={"lines": lines})
    groups = cost_groups(advice.model_copy(update={"cost": cost}))
    assert [name for name, _ in groups] == ["train", "online", OTHERS]
    assert [len(lines) for _, lines in groups] == [2, 2, 1]
    assert known_amount(advice.model_copy(update={"cost": cost})) == Decimal("18259.54")


def test_a_part_in_another_currency_shows_what_the_whole_says_of_it() -> None:
    assert TRAIN.chosen is not None
    assert TRAIN.chosen.cost is not None
    other = TRAIN.chosen.cost.model_copy(update={"currency": "USD"})
    part = TRAIN.model_copy(update={"chosen": TRAIN.chosen.model_copy(update={"cost": other})})
    (train, _) = cost_groups(make_advice(part, ONLINE))
    assert [line.how for line in train[1]] == ["all of it"]


def test_the_unknown_is_said_with_what_fills_it_and_estimates_are_marked() -> None:
    page = cost_section(make_advice())
    assert "<li>burst beyond the units (<code>online</code>): 4.1&nbsp;% of 31.5 million" in page
    assert "<code>plinth catalog import FILE</code>" in page
    assert "~ 6.34" in page
    assert "estimated: 24 h x 0.264 EUR" in page
    assert "18,256.34 EUR at least" in page
    assert "5.07 to 18.05" in page
    assert "our own list (2026-11-20)" in page


def test_a_part_without_a_place_needs_no_price() -> None:
    parts = (TRAIN, ONLINE.model_copy(update={"chosen": None}))
    page = cost_section(make_advice(*parts))
    assert "<li><code>online</code>: all of it</li>" in page
    assert "plinth catalog import" not in page


def test_bars_stay_within_the_drawing_and_show_the_range() -> None:
    page = cost_section(make_advice())
    drawings = re.findall(r'<svg viewBox="0 0 1000.*?</svg>', page, re.DOTALL)
    assert len(drawings) == 6
    for drawing in drawings:
        for each in ET.fromstring(drawing).iter():
            for key in ("x", "x1", "x2", "width"):
                assert 0 <= float(each.attrib.get(key, 0)) <= 1000
    assert 'class="range"' in page
    assert 'class="guess"' in page


def test_a_plan_that_costs_nothing_has_no_bars() -> None:
    advice = make_advice(TRAIN.model_copy(update={"chosen": None}))
    free = advice.model_copy(update={"cost": MonthCost(currency="EUR", lines=())})
    page = cost_section(free)
    assert '<div class="bars">' not in page
    assert "<div>0.00</div>" in page
