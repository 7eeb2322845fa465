"""One part in a plan's report: the chosen place by pillar, its limits, and why not the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from html import escape

from plinth.cli.output import counted
from plinth.cli.plan_report_html import (
    amount,
    bullets,
    cost_cell,
    hours,
    month,
    paragraph,
    size,
    table,
    text,
    title_of,
)
from plinth.domain.plan import Advice, Candidate, Headroom, Outcome, PartPlan, Verdict
from plinth.planning.rules import RULES
from plinth.planning.rules.rule import Pillar, Rule

# The rule that asks whether a platform does the function at all.
FUNCTION = "G2"
_ORDER = (Outcome.NOT_OK, Outcome.UNKNOWN, Outcome.OK)
# How many regions are named where many are ruled out for one reason.
_MOST_NAMES = 12


def part_section(part: PartPlan) -> str:
    """Return the section on one part: its place, the verdicts on it, and the others."""
    heading = f"Part <code>{escape(part.name)}</code>"
    if part.name != part.function:
        heading += f" ({escape(part.function)})"
    return "".join(
        [
            f'<section class="sheet"><h2>{heading}</h2>',
            _chosen(part.chosen) if part.chosen else _nothing(part),
            _others(part),
            "</section>",
        ]
    )


def verdict_table(verdicts: Iterable[Verdict], *, with_pillar: bool = True) -> str:
    """Return verdicts as a table: by pillar, within each what is against it first."""
    pillars = [pillar.value for pillar in Pillar]
    found = sorted(
        verdicts, key=lambda each: (pillars.index(_pillar(each.rule)), _ORDER.index(each.outcome))
    )
    rows = []
    before = ""
    for verdict in found:
        pillar = _pillar(verdict.rule)
        shown = pillar if pillar != before else ""
        before = pillar
        rows.append(
            [
                *([shown] if with_pillar else []),
                verdict.rule,
                verdict.outcome.value,
                verdict.reason,
                question(verdict.rule),
            ]
        )
    columns = ("RULE", "ANSWER", "_WHY", "_WHAT WAS ASKED")
    return table(("PILLAR", *columns) if with_pillar else columns, rows)


def question(rule: str) -> str:
    """Return what a rule asks, in one sentence; empty for a rule that is not in the list."""
    found = _rules().get(rule)
    asked = found.question.removeprefix("Tell ") if found else ""
    return asked[:1].upper() + asked[1:]


def regions_section(parts: Sequence[PartPlan]) -> str:
    """Return which regions no candidate may use, with the rules that say so."""
    groups: dict[tuple[tuple[str, str], ...], dict[str, list[str]]] = {}
    for part in parts:
        for region, verdicts in part.regions.items():
            # The same reason names another region each time.
            reasons = tuple((each.rule, each.reason.replace(region, "…")) for each in verdicts)
            groups.setdefault(reasons, {}).setdefault(region, []).append(part.name)
    if not groups:
        return ""
    rows = []
    for reasons, regions in groups.items():
        names = list(regions)
        owners = {tuple(each) for each in regions.values()}
        who = (
            "every part"
            if owners == {tuple(part.name for part in parts)}
            else ", ".join(sorted({name for each in owners for name in each}))
        )
        shown = ", ".join(names[:_MOST_NAMES])
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        why = "; ".join(reason for _, reason in reasons)
        rules = ", ".join(dict.fromkeys(rule for rule, _ in reasons))
        rows.append([str(len(names)), shown + more, who, rules, why])
    return (
        "<h2>Regions that are ruled out</h2>"
        + paragraph("`…` stands for the region's own name.", "soft")
        + table((">COUNT", "_REGIONS", ".FOR", "RULE", "_WHY"), rows)
    )


def open_questions(advice: Advice) -> list[list[str]]:
    """Return what is not known of the chosen places: part, rule, and which fact is missing."""
    rows = [
        [part.name, verdict.rule, verdict.reason]
        for part in advice.parts
        if part.chosen is not None
        for verdict in part.chosen.verdicts
        if verdict.outcome is Outcome.UNKNOWN
    ]
    return rows + [
        ["the whole", verdict.rule, verdict.reason]
        for verdict in advice.joint
        if verdict.outcome is Outcome.UNKNOWN
    ]


@cache
def _rules() -> dict[str, Rule]:
    # Several questions may share an id; the first one says what the id is about.
    return {rule.id: rule for rule in reversed(RULES)}


def _pillar(rule: str) -> str:
    found = _rules().get(rule)
    return (found.pillar if found else Pillar.OPERATIONS).value


def _chosen(chosen: Candidate) -> str:
    owned = "; you own it" if chosen.owned else ""
    start = "Plinth can start it there" if chosen.startable else "Plinth cannot start it there yet"
    blind = chosen.blind_spots
    return "".join(
        [
            f"<h3>Chosen: {text(title_of(chosen))}</h3>",
            paragraph(
                f"{chosen.count} x {size(chosen.offer)}. A month: {month(chosen.cost)}, "
                f"{hours(chosen.day2_hours)} hours of a person's work{owned}. {start}."
            ),
            verdict_table(chosen.verdicts),
            _headroom(chosen.headroom),
            "<h3>What cannot be seen of it</h3>",
            paragraph("Unknown: nobody has stated it.", "soft")
            if blind is None
            else bullets(blind) or paragraph("No blind spot is known.", "soft"),
            "<h3>Risks</h3>",
            bullets(chosen.risks) or paragraph("None is known.", "soft"),
        ]
    )


def _nothing(part: PartPlan) -> str:
    count = len(part.rejected)
    return paragraph(
        f"No place was found for it: {counted(count, 'candidate')}, each rejected by a rule. What "
        "would change that stands with each.",
        "caution",
    )


def _headroom(limits: Sequence[Headroom]) -> str:
    if not limits:
        return ""
    rows = [
        [
            each.what,
            f"{each.needed:,g} {each.unit}",
            "unknown" if each.reachable is None else f"{each.reachable:,g} {each.unit}",
            _used(each),
            each.source
            or ("`plinth catalog import FILE` states it" if each.reachable is None else ""),
        ]
        for each in limits
    ]
    columns = ("_LIMIT", ">THE PEAK NEEDS", ".REACHABLE", ">USED", "_SOURCE")
    return "<h3>Limits and quotas</h3>" + table(columns, rows)


def _used(limit: Headroom) -> str:
    if limit.reachable is None:
        return "-"
    return f"{limit.needed / limit.reachable:.0%}" if limit.reachable else "-"


def _others(part: PartPlan) -> str:
    """Return the others: first those that would do too, then those that a rule rejects."""
    possible = [each for each in part.rejected if each.is_feasible]
    rejected = [each for each in part.rejected if not each.is_feasible]
    found = ""
    if possible:
        rows = [_possible_row(each, part.chosen) for each in possible]
        columns = (".PLATFORM", "_SIZE", ">A MONTH", ">AGAINST THE CHOSEN", ">DAY-2 H", ">OPEN")
        found += (
            f"<h3>Possible too, and not chosen ({len(possible)})</h3>"
            + paragraph("OPEN counts the rules whose answer is unknown.", "soft")
            + table(columns, rows)
        )
    # A platform for another function needs no card: nothing would ever admit it.
    wrong = [each for each in rejected if FUNCTION in _failing_rules(each)]
    others = [each for each in rejected if each not in wrong]
    if others:
        found += (
            f"<h3>Rejected ({len(others)}): why, and what would change it</h3>"
            f'<div class="cards">{"".join(_card(each) for each in others)}</div>'
        )
    if wrong:
        found += (
            f"<h3>Rejected as made for something else ({len(wrong)})</h3>"
            + paragraph("No change of the file makes them do this function.", "soft")
            + table((".PLATFORM", "_WHY"), [[title_of(each), _reasons(each)] for each in wrong])
        )
    return found


def _failing(candidate: Candidate) -> list[Verdict]:
    return [each for each in candidate.verdicts if each.outcome is Outcome.NOT_OK]


def _failing_rules(candidate: Candidate) -> set[str]:
    return {each.rule for each in _failing(candidate)}


def _reasons(candidate: Candidate) -> str:
    return "; ".join(f"{each.rule}: {each.reason}" for each in _failing(candidate))


def _possible_row(candidate: Candidate, chosen: Candidate | None) -> list[str]:
    unknown = sum(each.outcome is Outcome.UNKNOWN for each in candidate.verdicts)
    return [
        title_of(candidate),
        f"{candidate.count} x {size(candidate.offer)}",
        cost_cell(candidate.cost),
        _difference(candidate, chosen),
        hours(candidate.day2_hours),
        str(unknown),
    ]


def _difference(candidate: Candidate, chosen: Candidate | None) -> str:
    one = candidate.cost.amount if candidate.cost else None
    other = chosen.cost.amount if chosen and chosen.cost else None
    if one is None or other is None:
        return "-"
    if (
        candidate.cost
        and chosen
        and chosen.cost
        and candidate.cost.currency != (chosen.cost.currency)
    ):
        return "-"
    more = one - other
    return f"+{amount(more)}" if more > Decimal(0) else amount(more)


def _card(candidate: Candidate) -> str:
    unknown = sum(each.outcome is Outcome.UNKNOWN for each in candidate.verdicts)
    items = "".join(
        f"<li><b>{escape(each.rule)}</b> {text(each.reason)}{_change(each)}</li>"
        for each in _failing(candidate)
    )
    cost = f"a month: {month(candidate.cost)}" if candidate.cost else ""
    more = f"unknown besides: {unknown}" if unknown else ""
    foot = "; ".join(each for each in (cost, more) if each)
    last = f'<p class="soft">{text(foot)}</p>' if foot else ""
    return f'<div class="card"><h4>{text(title_of(candidate))}</h4><ul>{items}</ul>{last}</div>'


def _change(verdict: Verdict) -> str:
    remedy = verdict.remedy or (f"`{verdict.change}`" if verdict.change else None)
    if remedy is None:
        return '<span class="change soft">no change of the file or the inventory helps</span>'
    return f'<span class="change soft">would change it: {text(remedy)}</span>'
