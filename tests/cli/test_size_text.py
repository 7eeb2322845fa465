"""The curve on a terminal is in the right place, by what each column costs."""

from __future__ import annotations

from fractions import Fraction

from plinth.cli.size_text import curve_lines, mix_columns
from plinth.planning.sizing.breakeven import Prices
from plinth.planning.sizing.sizing import size
from tests.planning.sizing_cases import PRICES, capacity, question

STEADY = [(float(second), 100, 0) for second in range(600)]
OF = capacity(minimum=30, increment=30, most=1000)


def test_base_stands_below_and_burst_on_it() -> None:
    # 0, 30, 60, 90, 120 units cost 730 a unit and month; the burst is next to nothing beside it.
    lines = curve_lines(size(question(STEADY, of=OF, spill="0.5")))
    assert lines[0] == "USD a month by units: █ base  ░ burst"
    assert lines[1].startswith("87,600 ┤")
    assert [line.count("█") for line in lines[1:13]] == [12] * 3 + [24] * 3 + [36] * 3 + [48] * 3
    assert lines[13] == "     0 ┼" + "─" * 60
    # The chosen 60 units are the third of five columns, each twelve wide.
    assert lines[14].index("▲") == len("     0 ┼") + 2 * 12 + 5
    assert lines[14].endswith("▲ 60 units")
    assert lines[15].split() == ["0", "120", "units"]


def test_a_price_unknown_draws_what_spills() -> None:
    lines = curve_lines(size(question(STEADY, of=OF, spill="0.5", prices=Prices("EUR"))))
    assert lines[0] == "% of requests spilled by units: ░"
    assert lines[1].startswith("100 ┤░")
    assert "█" not in "".join(lines)


def test_free_units_and_burst_are_drawn_too() -> None:
    nothing = Prices("USD", *(Fraction(0),) * 3)  # type: ignore[arg-type]
    assert len(curve_lines(size(question(STEADY, of=OF, prices=nothing)))) == 16


def test_columns_of_money_name_the_currency() -> None:
    columns = mix_columns(size(question(STEADY, of=OF, prices=PRICES)))
    assert columns[-1] == ">TOTAL USD/MONTH"
    assert columns[1] == ">UNITS"
