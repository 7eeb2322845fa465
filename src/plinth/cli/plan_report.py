"""A plan as one page of HTML for an architecture board; it loads nothing and runs no script.

`plinth plan FILE --report` writes it. It shows what the plan holds and decides nothing.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from html import escape

from plinth.catalog.machine import LOCAL
from plinth.cli.plan_report_asked import asked_section, unsaid
from plinth.cli.plan_report_cost import cost_section, known_amount
from plinth.cli.plan_report_html import (
    STYLE,
    amount,
    bullets,
    cost_cell,
    hours,
    least,
    paragraph,
    size,
    spread,
    table,
    text,
    where,
)
from plinth.cli.plan_report_part import (
    open_questions,
    part_section,
    question,
    regions_section,
)
from plinth.cli.plan_report_sources import sources_section
from plinth.domain.application import HOURS_PER_MONTH, Application, Declaration, Weights
from plinth.domain.plan import Advice, Candidate, Outcome, PartPlan
from plinth.planning.advice_words import summary

# Enough of a digest to tell two plans apart; the page ends with all of it.
_DIGEST = 19
_COUNT_WORDS = ("No", "One", "Two", "Three", "Four", "Five", "Six")


def report_page(advice: Advice, workload: Declaration, made_on: date) -> str:
    """Return the whole page: decision, question, joint plan, costs, each part, sources."""
    body = "".join(
        [
            f"<h1>{text(f'Where `{advice.name}` runs')}</h1>",
            _decision(advice),
            paragraph(
                f"Made on {made_on.isoformat()} from inputs {advice.inputs_digest[:_DIGEST]}…; the "
                "same inputs give the same plan.",
                "soft",
            ),
            _cautions(advice),
            _joint_plan(advice),
            asked_section(workload),
            cost_section(advice),
            _joint_verdicts(advice),
            _score(advice, workload),
            *(part_section(part) for part in advice.parts),
            regions_section(advice.parts),
            sources_section(advice),
            _assumptions(advice, workload, made_on),
        ]
    )
    title = escape(f"Plan of {advice.name} - Plinth")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def decision(advice: Advice) -> str:
    """Return the decision in one sentence."""
    places: dict[str, list[str]] = {}
    for part in advice.parts:
        if part.chosen is not None:
            places.setdefault(_place(part.chosen, advice.home), []).append(f"`{part.name}`")
    placed = [f"{_listed(names)} on {place}" for place, names in places.items()]
    missing = [f"`{part.name}`" for part in advice.parts if part.chosen is None]
    if advice.forbidden or not advice.parts:
        return f"{summary(advice)}."
    if not placed:
        return f"No place was found for {_listed(missing)}: a rule rejects every candidate."
    home = f"In {advice.home}, run" if advice.home not in (None, LOCAL) else "Run"
    shown = f"{home} {_listed(placed)}: {_money(advice)}{_work(advice)}"
    if missing:
        return f"No place was found for {_listed(missing)}; {shown[0].lower()}{shown[1:]}."
    return f"{shown}."


def _decision(advice: Advice) -> str:
    kind = "decision" if advice.is_feasible else "decision none"
    return paragraph(decision(advice), kind)


def _place(chosen: Candidate, home: str | None) -> str:
    offer = chosen.offer
    apart = f" (in {where(offer)})" if offer.region != home or offer.standby else ""
    return f"`{chosen.platform}`{apart}"


def _money(advice: Advice) -> str:
    cost = advice.cost
    if cost.amount is None:
        return f"what a month costs is {least(known_amount(advice), cost.currency)}"
    between = spread(cost.low, cost.high)
    about = "about " if cost.is_estimated else ""
    return f"{about}{amount(cost.amount, cost.currency)} a month" + (
        f" ({between})" if between else ""
    )


def _work(advice: Advice) -> str:
    if advice.day2_hours is None:
        return "; the hours of day-2 work are unknown"
    return f"; {hours(advice.day2_hours)} hours of day-2 work a month"


def _cautions(advice: Advice) -> str:
    """Return what a board must see before it reads on."""
    said = [
        f"{verdict.rule}: {verdict.reason}"
        for verdict in (*advice.joint, *advice.external)
        if verdict.outcome is Outcome.NOT_OK
    ]
    unknown = len(open_questions(advice))
    if unknown:
        count = _COUNT_WORDS[unknown] if unknown < len(_COUNT_WORDS) else f"{unknown}"
        one = unknown == 1
        said.append(
            f"{count} {'answer' if one else 'answers'} about the chosen places "
            f"{'is' if one else 'are'} unknown; {'it is' if one else 'they are'} listed at the end."
        )
    risky = [part.name for part in advice.parts if part.chosen and part.chosen.risks]
    if risky:
        said.append(f"Risks are named for {_listed(risky)}; they stand with each part.")
    return "".join(paragraph(each, "caution") for each in said)


def _joint_plan(advice: Advice) -> str:
    if not advice.parts:
        return ""
    rows = [_plan_row(part) for part in advice.parts]
    cost = advice.cost
    total = ["all", *[""] * 5, cost_cell(cost, known_amount(advice)), hours(advice.day2_hours)]
    columns = (
        *("PART", ".PLATFORM", "REGION", "_SIZE OR MODEL", "TIER", ">COUNT"),
        *(">A MONTH, AND ITS RANGE", ">DAY-2 H"),
    )
    return (
        "<h2>The plan</h2>"
        + table(columns, [*rows, total], last_is_sum=True)
        + paragraph(
            "DAY-2 H: hours of a person's work a month, for patching, upgrades, on-call, capacity "
            "and security; of platforms of one service only the largest counts in the sum. ~: a "
            "price in it is estimated.",
            "soft",
        )
    )


def _plan_row(part: PartPlan) -> list[str]:
    chosen = part.chosen
    if chosen is None:
        return [part.name, "no place found", *["-"] * 6]
    standby = f"\nstandby {chosen.offer.standby}" if chosen.offer.standby else ""
    return [
        part.name,
        f"`{chosen.platform}`" + ("\nowned" if chosen.owned else ""),
        chosen.offer.region + standby,
        size(chosen.offer),
        chosen.offer.tier or "-",
        str(chosen.count),
        cost_cell(chosen.cost),
        hours(chosen.day2_hours),
    ]


def _joint_verdicts(advice: Advice) -> str:
    said = (*advice.joint, *advice.external)
    if not said:
        return ""
    rows = [
        [each.rule, each.outcome.value, each.reason, each.remedy or "-", question(each.rule)]
        for each in said
    ]
    if all(not row[-1] for row in rows):
        rows = [row[:-1] for row in rows]
    columns = ("RULE", "ANSWER", "_WHY", "_WHAT WOULD CHANGE IT", "_WHAT WAS ASKED")
    return "<h2>On the whole</h2>" + table(columns[: len(rows[0])], rows)


def _score(advice: Advice, workload: Declaration) -> str:
    """Return the terms of the choice, and the weights that a file may change."""
    if not advice.score:
        return ""
    weights = workload.weights if isinstance(workload, Application) else Weights()
    total = sum((line.amount for line in advice.score), Decimal(0))
    rows = [[line.what, amount(line.amount), line.how] for line in advice.score]
    chosen = [
        [
            name,
            f"{getattr(weights, name):,g}",
            field.description or "",
            "the file" if name in weights.model_fields_set else "the default",
        ]
        for name, field in Weights.model_fields.items()
    ]
    return "".join(
        [
            "<h2>Why this one: the score</h2>",
            paragraph(
                "Of all places that no rule rejects, the choice has the smallest sum of cost and "
                "the terms below, for all parts together."
            ),
            table(
                (".TERM", f">{advice.currency} A MONTH", "_HOW IT IS COUNTED"),
                [*rows, ["sum", amount(total), ""]],
                last_is_sum=True,
            ),
            "<h3>Weights</h3>",
            paragraph("An application's file may state its own `weights`.", "soft"),
            table((".WEIGHT", f">{advice.currency} A MONTH", "_FOR", "SET BY"), chosen),
        ]
    )


def _assumptions(advice: Advice, workload: Declaration, made_on: date) -> str:
    """Return what is not known, what was assumed, and what the plan was made from."""
    unknown = open_questions(advice)
    return "".join(
        [
            '<section class="sheet"><h2>What is not known</h2>',
            table(("PART", "RULE", "_WHICH FACT IS MISSING"), unknown)
            or paragraph("Every rule has an answer for the chosen places.", "soft"),
            "<h2>What was assumed</h2>",
            bullets(
                [
                    f"A month has {HOURS_PER_MONTH} hours, a year's 8,760 divided by twelve.",
                    "Prices are list prices of their day: no quotes, and without taxes.",
                    "Day-2 hours are estimates for one small production use; the catalog states "
                    "them for each platform, and they can be edited.",
                    "An answer that is unknown rejects nothing.",
                    *unsaid(workload),
                ]
            ),
            "<h2>What it was made from</h2>",
            table(
                (".", "_"),
                [
                    ["Inputs", advice.inputs_digest],
                    ["Made on", made_on.isoformat()],
                    ["Declared as", f"`kind: {workload.kind}`, `name: {workload.name}`"],
                ],
            ),
            "</section>",
        ]
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
