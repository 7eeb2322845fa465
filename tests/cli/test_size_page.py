"""The page is whole in itself and well-formed, whatever is in it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from plinth.catalog.provisioned import find_provisioned, load_provisioned
from plinth.cli.size_page import sizing_page
from plinth.planning.sizing.arrivals import Arrivals
from plinth.planning.sizing.sizing import size
from plinth.planning.sizing.sizing_inputs import Given, make_inputs
from plinth.planning.sizing.sizing_words import describe_sizing

TRACE = Arrivals(tuple(float(n) for n in range(600)), (1000,) * 600, (100,) * 600)
VOID = {"meta"}


def page(given: Given, trace: Arrivals = TRACE) -> str:
    row = find_provisioned(load_provisioned(), "gpt-4o", "Global")
    inputs = make_inputs(trace, row, given)
    sizing = size(inputs.question)
    return sizing_page(inputs, sizing, describe_sizing(inputs, sizing))


class Nesting(HTMLParser):
    """Fails where an element ends that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, _tag: str, _attributes: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    "given",
    [Given(), Given(unit_hour=Decimal("0.1")), Given(currency="EUR"), Given(p99_wait_s=2.0)],
    ids=["all burst", "cheap units", "unknown prices", "waiting"],
)
def test_the_page_is_well_formed_and_loads_nothing(given: Given) -> None:
    text = page(given)
    nesting = Nesting()
    nesting.feed(text)
    assert nesting.open == []
    assert "light dark" in text
    assert not re.search(r"https?:|<script|<link|<img|@import|url\(|\bon\w+=", text)
    drawings = re.findall(r"<svg viewBox=\"0 0 760.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 2
    for drawing in drawings:
        places = [
            float(value)
            for each in ET.fromstring(drawing.replace("&nbsp;", " ")).iter()
            for key, value in each.attrib.items()
            if key in ("x", "x1", "x2", "y", "y1", "y2")
        ]
        assert all(0 <= value <= 760 for value in places)


def test_what_is_on_the_terminal_is_on_the_page() -> None:
    text = page(Given(unit_hour=Decimal("0.1")))
    assert "A unit pays off when more than 26.67&nbsp;% of it is used" in text
    assert "<h2>Trained on the first half, tried on the second</h2>" in text
    assert "<code>--window</code>" in text
    assert 'class="caution">the trace lasts' in text


@pytest.mark.parametrize(
    ("span_s", "unit"),
    [(0.5, "seconds"), (600, "minutes"), (20_000, "hours"), (600_000, "days")],
)
def test_a_trace_of_any_length_has_a_page(span_s: float, unit: str) -> None:
    text = page(Given(), Arrivals((0.0, span_s), (1, 1), (0, 0)))
    assert "too thin" in text
    assert f"{unit} from the first request" in text
