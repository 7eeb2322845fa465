"""A sizing on a terminal: tables, and the break-even curve drawn with block characters."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from rich.text import Text

from plinth.cli.output import console, note, print_table
from plinth.planning.sizing.sizing import Mix, Sizing
from plinth.planning.sizing.sizing_inputs import Inputs
from plinth.planning.sizing.sizing_words import HALF_COLUMNS, MIX_COLUMNS, Words

_HEIGHT, _WIDTH = 12, 60
_BASE, _BURST = "█", "░"
_STYLES = {_BASE: "cyan", _BURST: "yellow", "▲": "bold green"}


def print_sizing(inputs: Inputs, sizing: Sizing, words: Words) -> None:
    """Print the answer, the curve, the trial of the halves and what it rests on."""
    shown = console()
    shown.print(f"{words.headline}\n", markup=False)
    print_table(mix_columns(sizing), words.mixes, empty="")
    _print_lines(("", *words.sentences, ""))
    for line in curve_lines(sizing):
        shown.print(_styled(line), no_wrap=True, crop=False, overflow="ignore")
    _print_lines(("", words.trial, ""))
    if words.halves:
        print_table(HALF_COLUMNS, words.halves, empty="")
        _print_lines(("",))
    rows = [(each.what, each.value, each.source) for each in inputs.assumptions]
    print_table(("IT RESTS ON", "VALUE", "SOURCE"), rows, empty="")
    for caution in words.cautions:
        note(f"caution: {caution}")


def mix_columns(sizing: Sizing) -> list[str]:
    """Return the headers of the table of mixes, with the currency on those of money."""
    currency = sizing.question.prices.currency
    money = (">BASE", ">BURST", ">TOTAL")
    return [f"{name} {currency}/MONTH" if name in money else name for name in MIX_COLUMNS]


def curve_lines(sizing: Sizing) -> list[str]:
    """Draw what each count of units costs a month, base below and burst on it.

    With a price unknown: what share of the requests each count spills.
    """
    curve = sizing.curve
    if all(mix.total is not None for mix in curve):
        bars = [(mix.base or Fraction(0), mix.total or Fraction(0)) for mix in curve]
        currency = sizing.question.prices.currency
        title = f"{currency} a month by units: {_BASE} base  {_BURST} burst"
    else:
        bars = [(Fraction(0), mix.share.requests * 100) for mix in curve]
        title = f"% of requests spilled by units: {_BURST}"
    highest = max(total for _, total in bars) or Fraction(1)
    labels = {0: _axis(highest), _HEIGHT // 2: _axis(highest / 2), _HEIGHT: "0"}
    width = max(len(label) for label in labels.values())
    # A column for each count, several where there are few.
    wide = max(1, _WIDTH // len(bars))
    lines = [title]
    for row in range(_HEIGHT):
        level = highest * (2 * (_HEIGHT - row) - 1) / (2 * _HEIGHT)
        cells = "".join(_cell(base, total, level) * wide for base, total in bars)
        lines.append(f"{labels.get(row, ''):>{width}} ┤{cells}".rstrip())
    lines.append(f"{labels[_HEIGHT]:>{width}} ┼{'─' * wide * len(bars)}")
    return [*lines, *_below(curve, sizing.chosen, wide, width + 2)]


def _cell(base: Fraction, total: Fraction, level: Fraction) -> str:
    if base >= level:
        return _BASE
    return _BURST if total >= level else " "


def _below(curve: Sequence[Mix], chosen: Mix, wide: int, indent: int) -> list[str]:
    """Draw where the chosen count is, and the first and the last count."""
    place = next(index for index, mix in enumerate(curve) if mix.units == chosen.units)
    first, last = f"{curve[0].units:,}", f"{curve[-1].units:,} units"
    ends = f"{first}{last:>{max(wide * len(curve) - len(first), len(last) + 1)}}"
    mark = f"{' ' * (place * wide + (wide - 1) // 2)}▲ {chosen.units:,} units"
    return [f"{' ' * indent}{mark}", f"{' ' * indent}{ends}"]


def _axis(value: Fraction) -> str:
    return f"{float(value):,.0f}" if value >= 10 else f"{float(value):.2f}"


def _styled(line: str) -> Text:
    text = Text(line)
    for sign, style in _STYLES.items():
        text.highlight_words([sign], style)
    return text


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        console().print(line, markup=False)
