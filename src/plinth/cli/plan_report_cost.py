"""Costs in a plan's report: the bars with their ranges, then every line with its arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape

from plinth.cli.plan_report_html import UNKNOWN, amount, bullets, paragraph, spread, table, text
from plinth.domain.plan import Advice, CostLine, MonthCost

OTHERS = "between the parts"
_WIDE = 1000


def cost_section(advice: Advice) -> str:
    """Return the section on costs: bars, lines, what is estimated and what is unknown."""
    groups = cost_groups(advice)
    rows = [_line_row(name, line) for name, lines in groups for line in lines]
    cost = advice.cost
    known = f"\n{amount(known_amount(advice), cost.currency)} at least"
    total = [
        *("sum", ""),
        _with_range(UNKNOWN + known if cost.amount is None else amount(cost.amount), cost),
        "",
    ]
    columns = ("PART", ".WHAT", f">{cost.currency} A MONTH", "_HOW IT IS COUNTED")
    return "".join(
        [
            f"<h2>What a month costs, in {escape(cost.currency)}</h2>",
            _missing(advice),
            _bars(groups),
            paragraph("Below each amount its range, below the arithmetic its source.", "soft"),
            table(columns, [*rows, total], last_is_sum=True),
        ]
    )


def cost_groups(advice: Advice) -> list[tuple[str, tuple[CostLine, ...]]]:
    """Return the lines of each part by its name, then those that belong to no part.

    The whole has one line for a part, which the part's own lines explain where they are in the
    same currency.
    """
    names = {part.name for part in advice.parts}
    totals = {line.what: line for line in advice.cost.lines}
    groups = []
    for part in advice.parts:
        cost = part.chosen.cost if part.chosen else None
        if cost is not None and cost.currency == advice.cost.currency:
            groups.append((part.name, cost.lines))
        elif part.name in totals:
            groups.append((part.name, (totals[part.name],)))
    rest = tuple(line for line in advice.cost.lines if line.what not in names)
    return [*groups, (OTHERS, rest)] if rest else groups


def known_amount(advice: Advice) -> Decimal:
    """Return the sum of what is known: also of parts of which one line is not."""
    lines = [line for _, lines in cost_groups(advice) for line in lines]
    return sum((line.amount for line in lines if line.amount is not None), Decimal(0))


def _line_row(name: str, line: CostLine) -> list[str]:
    about = "~ " if line.estimated else ""
    how = f"estimated: {line.how}" if line.estimated else line.how
    shown = about + amount(line.amount) if line.amount is not None else UNKNOWN
    source = f"\n{line.source}" if line.source else ""
    return [name, line.what, _with_range(shown, line), how + source]


def _with_range(shown: str, of: CostLine | MonthCost) -> str:
    between = spread(of.low, of.high)
    return f"{shown}\n{between}" if between else shown


def _missing(advice: Advice) -> str:
    """Return what is said of lines without a price, and of those that no list states."""
    groups = [(name, line) for name, lines in cost_groups(advice) for line in lines]
    unknown = [(name, line) for name, line in groups if line.amount is None]
    said = ""
    if unknown:
        said += paragraph("What a month costs is unknown, since these are:", "caution")
        said += bullets(f"{_named(name, line)}: {line.how}" for name, line in unknown)
    # A part's one line is called after it where it has no place, and then no price helps.
    if any(line.what != name for name, line in unknown):
        said += paragraph(
            "A time or a count that is missing belongs into the file. State a price that is "
            "missing in a file of `kind: prices` and give it to `plinth catalog import FILE`, or "
            "the price of what you own to `plinth inventory add`; then plan again."
        )
    if any(line.estimated for _, line in groups):
        said += paragraph(
            "~ marks an amount whose price no list states; its line says how it was estimated.",
            "soft",
        )
    return said


def _named(part: str, line: CostLine) -> str:
    return f"`{part}`" if line.what == part else f"{line.what} (`{part}`)"


def _bars(groups: Sequence[tuple[str, tuple[CostLine, ...]]]) -> str:
    """Draw one bar for each part, and one for each line of parts that have several."""
    highest = max((_high(lines) for _, lines in groups), default=Decimal(0))
    if highest <= 0:
        return ""
    rows = []
    for name, lines in groups:
        rows.append(_bar(name, lines, highest, is_part=True))
        if len(lines) > 1:
            rows += [_bar(line.what, (line,), highest, is_part=False) for line in lines]
    keys = (("fill", "priced by a list"), ("guess", "partly estimated"))
    legend = "&emsp;".join(
        f'<svg class="key" viewBox="0 0 1 1"><rect class="{css}" width="1" height="1"/></svg>'
        f"{text(word)}"
        for css, word in keys
    )
    return (
        f'<div class="bars">{"".join(rows)}</div>'
        f'<p class="soft">{legend}&emsp;the thin line is the range that is expected</p>'
    )


def _bar(name: str, lines: Sequence[CostLine], highest: Decimal, *, is_part: bool) -> str:
    known = sum((line.amount for line in lines if line.amount is not None), Decimal(0))
    is_whole = all(line.amount is not None for line in lines) and bool(lines)
    low, high = _low(lines), _high(lines)
    css = "guess" if any(line.estimated for line in lines) else "fill"
    drawn = f'<rect class="{css}" x="0" y="3" width="{_x(known, highest)}" height="12"/>'
    if low != high:
        drawn += "".join(
            f'<line class="range" x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}"/>'
            for x1, x2, y1, y2 in (
                (_x(low, highest), _x(high, highest), 9, 9),
                (_x(low, highest), _x(low, highest), 5, 13),
                (_x(high, highest), _x(high, highest), 5, 13),
            )
        )
    shown = amount(known) if is_whole else f"{amount(known)} + {UNKNOWN}" if known else UNKNOWN
    kind, place = ("bar part", "") if is_part else ("bar", ' class="line"')
    return (
        f'<div class="{kind}"><span{place}>{text(name)}</span>'
        f'<svg viewBox="0 0 {_WIDE} 18" preserveAspectRatio="none" role="img">'
        f"<title>{escape(f'{name}: {shown}')}</title>{drawn}</svg>"
        f'<span class="right">{text(shown)}</span></div>'
    )


def _low(lines: Sequence[CostLine]) -> Decimal:
    return sum((_end(line, line.low) for line in lines), Decimal(0))


def _high(lines: Sequence[CostLine]) -> Decimal:
    return sum((_end(line, line.high) for line in lines), Decimal(0))


def _end(line: CostLine, end: Decimal | None) -> Decimal:
    return end if end is not None else line.amount or Decimal(0)


def _x(value: Decimal, highest: Decimal) -> float:
    return round(float(max(value, Decimal(0)) / highest) * _WIDE, 1)
