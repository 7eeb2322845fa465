"""The pieces that a plan's report is made of: escaped text, tables, amounts, the style."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape

from plinth.domain.plan import Candidate, MonthCost, Outcome
from plinth.domain.platform import Offer
from plinth.kit.units import format_bytes

_CODE = re.compile(r"`([^`]+)`")
_MARKS = {Outcome.OK: "ok", Outcome.NOT_OK: "no", Outcome.UNKNOWN: "open"}
UNKNOWN = "unknown"
NO_REGION = "-"

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif;
  --line: light-dark(#d5d8dd, #3a3e45); --base: light-dark(#1f6fb2, #5aa9e6);
  --warn: light-dark(#a85f00, #f0b35c); --good: light-dark(#1c7c3c, #5fcf86);
  --bad: light-dark(#b3261e, #ff8a80); --soft: light-dark(#5b626c, #a6adb8);
  --ink: light-dark(#1b1e23, #e8eaee); --panel: light-dark(#f5f7f9, #1e2126); }
body { background: light-dark(#fff, #16181c); color: var(--ink);
  margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { border-top: 2px solid var(--line); font-size: 1.2rem; margin: 2.75rem 0 .5rem;
  padding-top: .75rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 .4rem; }
h4 { font-size: .95rem; margin: 0 0 .25rem; }
p { margin: .5rem 0; max-width: 52rem; } .soft { color: var(--soft); }
.decision { background: var(--panel); border-left: 4px solid var(--good); font-size: 1.08rem;
  max-width: none; padding: .75rem 1rem; }
.decision.none { border-color: var(--bad); }
.caution { border-left: 4px solid var(--warn); padding-left: .75rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th { color: var(--soft); font-size: .76rem; font-weight: 600; text-align: left; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .9rem .35rem 0;
  vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
tr.sum td { border-bottom: 0; border-top: 2px solid var(--line); font-weight: 600; }
.right { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
td.name { min-width: 6rem; } td.wide { min-width: 13rem; } td .soft { font-size: .85em; }
code { font-size: .92em; overflow-wrap: anywhere; }
.mark { border-radius: .6rem; display: inline-block; font-size: .74rem; font-weight: 600;
  padding: 0 .5rem; white-space: nowrap; border: 1px solid; }
.ok { color: var(--good); } .no { color: var(--bad); } .open { color: var(--warn); }
.bars { font-size: .9rem; margin: 1rem 0; }
.bar { display: grid; gap: 0 1rem; grid-template-columns: 17rem 1fr 12rem; padding: .2rem 0;
  align-items: center; }
.bar svg { display: block; height: 1.1rem; overflow: visible; width: 100%; }
.bar.part { border-top: 1px solid var(--line); font-weight: 600; margin-top: .35rem;
  padding-top: .4rem; }
.bar .line { padding-left: .9rem; }
.fill { fill: var(--base); } .guess { fill: var(--warn); }
.range { stroke: var(--ink); stroke-width: 2; vector-effect: non-scaling-stroke; }
.key { display: inline-block; height: .7rem; margin-right: .35rem; width: .7rem; }
.cards { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(26rem, 1fr)); }
.card { border: 1px solid var(--line); border-radius: .4rem; font-size: .9rem;
  padding: .6rem .8rem; }
.card ul { margin: .25rem 0 0; padding-left: 1.1rem; } .card li { margin: .2rem 0; }
.card .change { display: block; }
ul.plain { margin: .4rem 0; padding-left: 1.2rem; } ul.plain li { margin: .2rem 0; }
@media screen and (max-width: 46rem) {
  body { padding: 1.25rem .9rem 3rem; }
  .bar { grid-template-columns: 1fr auto; } .bar svg { grid-column: 1 / -1; grid-row: 2; }
  .bar .line { padding-left: 0; } .cards { grid-template-columns: 1fr; }
  table, tbody, tr { display: block; } thead { display: none; }
  tr { border-bottom: 1px solid var(--line); padding: .45rem 0; }
  td { border: 0; display: grid; gap: .75rem; grid-template-columns: 8rem 1fr; padding: .1rem 0; }
  td::before { color: var(--soft); content: attr(data-label); font-size: .76rem; font-weight: 600;
    padding-top: .15rem; }
  td.right { text-align: left; white-space: normal; } td:has(> div:empty) { display: none; }
  tr.sum td { border: 0; }
}
@media print {
  :root { color-scheme: light; font-size: 9.5pt; } @page { margin: 16mm 14mm; }
  body { max-width: none; padding: 0; } .scroll { overflow: visible; }
  h2, h3, h4 { break-after: avoid; } .card, tr, .bar, .decision { break-inside: avoid; }
  .sheet { break-before: page; } .sheet h2 { border: 0; margin-top: 0; }
  .cards { grid-template-columns: 1fr 1fr; } table { font-size: 8.5pt; }
  td.name, td.wide { min-width: 0; } .bar { grid-template-columns: 12rem 1fr 9rem; }
  h2 { margin-top: 1.5rem; } thead { display: table-header-group; }
  .decision, svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def text(plain: str) -> str:
    """Return plain text as HTML: names in backticks as code, no line broken before a `%`."""
    return _CODE.sub(r"<code>\1</code>", escape(plain)).replace(" %", "&nbsp;%")


def paragraph(plain: str, css: str = "") -> str:
    """Return one paragraph; none for an empty text."""
    kind = f' class="{css}"' if css else ""
    return f"<p{kind}>{text(plain)}</p>" if plain else ""


def bullets(items: Iterable[str]) -> str:
    """Return a list of plain texts; none when there are none."""
    found = "".join(f"<li>{text(item)}</li>" for item in items)
    return f'<ul class="plain">{found}</ul>' if found else ""


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, last_is_sum: bool = False
) -> str:
    """Return a table of plain texts; none without rows.

    A column whose name starts with `>` is to the right, one with `.` holds names, with `_` text;
    the column `ANSWER` holds outcomes. What follows a line break in a cell is set smaller.
    """
    if not rows:
        return ""
    kinds = {">": ' class="right"', ".": ' class="name"', "_": ' class="wide"'}
    css = [kinds.get(name[:1], "") for name in columns]
    names = [name.lstrip(">._") for name in columns]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(css, names, strict=True))
    body = ""
    for place, row in enumerate(rows):
        cells = "".join(
            f'<td{kind} data-label="{escape(name)}"><div>'
            f"{mark(Outcome(cell)) if name == 'ANSWER' else _cell(cell)}</div></td>"
            for kind, name, cell in zip(css, names, row, strict=True)
        )
        is_sum = last_is_sum and place == len(rows) - 1
        body += f'<tr class="sum">{cells}</tr>' if is_sum else f"<tr>{cells}</tr>"
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def _cell(plain: str) -> str:
    first, *rest = plain.split("\n")
    return text(first) + "".join(f'<br><span class="soft">{text(each)}</span>' for each in rest)


def mark(outcome: Outcome) -> str:
    """Return a verdict's outcome as a small label."""
    return f'<span class="mark {_MARKS[outcome]}">{escape(outcome.value)}</span>'


def amount(value: Decimal | None, currency: str = "") -> str:
    """Write an amount to the cent, `unknown` for None."""
    if value is None:
        return UNKNOWN
    # What is below a cent is not nothing: tokens of a small batch cost so little.
    shown = f"{value:,.2f}" if value == 0 or abs(value) >= Decimal("0.01") else f"{value:.4f}"
    return f"{shown} {currency}".strip()


def spread(low: Decimal | None, high: Decimal | None) -> str:
    """Write a range of amounts; empty where both ends are the same or the upper is unknown."""
    if low is None or high is None or low == high:
        return ""
    return f"{amount(low)} to {amount(high)}"


def month(cost: MonthCost | None) -> str:
    """Write what a month costs: the sum, or what is known of it."""
    if cost is None:
        return UNKNOWN
    if cost.amount is None:
        return least(known(cost), cost.currency)
    about = "~ " if cost.is_estimated else ""
    return f"{about}{amount(cost.amount, cost.currency)}"


def cost_cell(cost: MonthCost | None, known_of_it: Decimal | None = None) -> str:
    """Write what a month costs in a cell, with its range, or what is known of it, below.

    `known_of_it`: where more is known than the lines of `cost` say.
    """
    if cost is None:
        return UNKNOWN
    if cost.amount is None:
        found = known(cost) if known_of_it is None else known_of_it
        return UNKNOWN + (f"\n{amount(found, cost.currency)} at least" if found else "")
    between = spread(cost.low, cost.high)
    return month(cost) + (f"\n{between}" if between else "")


def least(known_of_it: Decimal, currency: str) -> str:
    """Write a sum that is unknown, and what is known of it."""
    more = f", {amount(known_of_it, currency)} at least" if known_of_it else ""
    return f"{UNKNOWN}{more}"


def known(cost: MonthCost) -> Decimal:
    """Return the sum of the lines whose amount is known."""
    return sum((line.amount for line in cost.lines if line.amount is not None), Decimal(0))


def size(offer: Offer) -> str:
    """Write what one of an offer is: a machine, or a model and where it is processed."""
    if offer.model is not None:
        where = f", processed in {offer.processed_in}" if offer.processed_in else ""
        named = "" if offer.sku == offer.model else f" ({offer.sku})"
        return f"{offer.model}{named}{where}"
    if not offer.cpu and not offer.memory:
        return offer.sku
    parts = [f"{offer.cpu:g} cores" if offer.cpu != 1 else "1 core", format_bytes(offer.memory)]
    if offer.accelerator is not None:
        parts.append(f"{offer.accelerator.count} x {offer.accelerator.kind}")
    return f"{offer.sku}: {', '.join(parts)}"


def where(offer: Offer) -> str:
    """Write the region, with the one that takes over."""
    return offer.region + (f", standby {offer.standby}" if offer.standby else "")


def title_of(candidate: Candidate) -> str:
    """Write a candidate in one line: platform, tier, region."""
    tier = f", {candidate.offer.tier}" if candidate.offer.tier else ""
    # One that nobody owns yet stands nowhere.
    place = "" if candidate.offer.region == NO_REGION else f", {where(candidate.offer)}"
    return f"`{candidate.platform}`{tier}{place}"


def hours(value: float | None) -> str:
    """Write hours of a person's work, `unknown` for None."""
    return UNKNOWN if value is None else f"{value:g}"
