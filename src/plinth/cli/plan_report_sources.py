"""Where a plan's facts and prices come from, and of which day they are."""

from __future__ import annotations

from collections.abc import Iterator

from plinth.catalog.platforms import PlatformFacts, find_facts, platform_names
from plinth.cli.plan_report_html import paragraph, table
from plinth.domain.plan import Advice, CostLine


def sources_section(advice: Advice) -> str:
    """Return the section: facts of the chosen platforms, of the others, prices and quotas."""
    chosen = list(dict.fromkeys(part.chosen.platform for part in advice.parts if part.chosen))
    others = sorted(
        {each.platform for part in advice.parts for each in part.rejected} - set(chosen)
    )
    known = platform_names()
    rows = [row for name in chosen if name in known for row in fact_rows(find_facts(name))]
    brief = [_brief(find_facts(name)) for name in others if name in known]
    columns = ("PLATFORM", ".FACTS", "_SOURCE", ">CHECKED")
    return "".join(
        [
            '<section class="sheet"><h2>Sources and dates</h2>',
            "<h3>Prices and limits</h3>",
            table(("FOR", "_SOURCE"), list(price_rows(advice)))
            or paragraph("No price of a list is in this plan.", "soft"),
            "<h3>Facts of the chosen platforms</h3>" if rows else "",
            table(columns, rows),
            "<h3>Facts of the other platforms</h3>" if brief else "",
            paragraph(
                "`plinth catalog platforms NAME` shows each of their facts with its source.", "soft"
            )
            if brief
            else "",
            table(("PLATFORM", "_SOURCE", ">CHECKED"), brief),
            "</section>",
        ]
    )


def fact_rows(facts: PlatformFacts) -> list[list[str]]:
    """Return a row for each source of a platform's facts, with the groups that it is for."""
    found = {(facts.source, facts.checked): ["what it is"]}
    for name, group in facts.groups.items():
        if group.known and group.source is not None and group.checked is not None:
            found.setdefault((group.source, group.checked), []).append(_words(name))
    rows = [
        [", ".join(groups), source, checked.isoformat()]
        for (source, checked), groups in found.items()
    ]
    return [["" if place else facts.name, *row] for place, row in enumerate(rows)]


def price_rows(advice: Advice) -> Iterator[list[str]]:
    """Yield each source of prices and limits once, with what was taken from it."""
    found: dict[str, list[str]] = {}
    for name, line in _lines(advice):
        if line.source:
            found.setdefault(line.source, []).append(f"{name}: {line.what}")
    for part in advice.parts:
        for limit in part.chosen.headroom if part.chosen else ():
            if limit.source and limit.reachable is not None:
                found.setdefault(limit.source, []).append(f"{part.name}: {limit.what}")
    for source, users in found.items():
        yield ["; ".join(dict.fromkeys(users)), source]


def _lines(advice: Advice) -> Iterator[tuple[str, CostLine]]:
    seen = set()
    for part in advice.parts:
        for line in part.chosen.cost.lines if part.chosen and part.chosen.cost else ():
            seen.add(line.source)
            yield part.name, line
    for line in advice.cost.lines:
        if line.source not in seen:
            yield "the whole", line


def _brief(facts: PlatformFacts) -> list[str]:
    days = [facts.checked, *(each.checked for each in facts.groups.values() if each.checked)]
    first, last = min(days).isoformat(), max(days).isoformat()
    return [facts.name, facts.source, first if first == last else f"{first} to {last}"]


def _words(group: str) -> str:
    return {"day2": "day-2 work"}.get(group, group)
