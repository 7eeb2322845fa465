"""Print an advice for people: the decision first, then why, then why not the others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from plinth.cli.output import console, print_table
from plinth.domain.plan import Advice, Candidate, Change, Outcome, PartPlan
from plinth.planning.advice_words import (
    answer_words,
    arithmetic,
    assumptions,
    cost_words,
    hours_words,
    money_words,
    of_outcome,
    others,
    part_row,
    region_words,
    rejected_rows,
    size_words,
    summary,
    work_words,
)
from plinth.planning.counterfactual import Difference, WhyNot, differences

_ORDER = (Outcome.NOT_OK, Outcome.UNKNOWN, Outcome.OK)


def show_advice(advice: Advice) -> None:
    """Print the whole decision; what is unknown of each part; why the others were passed over."""
    if advice.parts:
        print_table(
            ["PART", "PLATFORM", "REGION", "SIZE", "TIER", ">A MONTH", "RANGE", ">WORK"],
            [part_row(part) for part in advice.parts],
            empty="",
        )
    say(f"\n{summary(advice)}")
    shared = work_words(advice)
    if shared is not None:
        say(f"  {shared}")
    for verdict in (*advice.joint, *advice.external):
        say(f"  {verdict.rule}: {verdict.reason}")
    if not advice.parts:
        return
    for part in advice.parts:
        _show_part(part)
    _show_score(advice)
    assumed = assumptions(advice)
    if assumed:
        heading("What the costs assume")
        for each in assumed:
            say(f"  {each}")
    starts = [part.name for part in advice.parts if part.chosen and not part.chosen.startable]
    if starts:
        say(
            f"\nPlinth itself starts jobs and endpoints on `local` only; for {listed(starts)} this "
            "is advice"
        )
    say("\n`--part NAME` shows every verdict of a part, `--why-not PLATFORM` what would admit one,")
    say("`--report FILE` writes it all as one page")


def _show_part(part: PartPlan) -> None:
    heading(part.name, "" if part.chosen is None else f"on {part.chosen.platform}")
    if part.chosen is not None:
        _show_chosen(part.chosen)
    rows = rejected_rows(part)
    if rows:
        print_table(["NOT CHOSEN", "TIER", "ANSWER", ">A MONTH", "WHY"], rows, empty="")
    without = others(part)
    if without:
        say(f"{len(without)} other platforms do not do `{part.function}` at all")


def _show_chosen(chosen: Candidate) -> None:
    for line in chosen.cost.lines if chosen.cost else ():
        mark = "~" if line.estimated else ""
        currency = chosen.cost.currency if chosen.cost else ""
        say(f"  {line.what}: {mark}{money_words(line.amount, currency)} = {arithmetic(line)}")
    for each in chosen.headroom:
        # That there are as many machines of one's own as are used is no news.
        if chosen.offer.tier == "own-hardware" and each.needed <= (each.reachable or 0):
            continue
        reached = (
            UNSTATED if each.reachable is None else f"{each.reachable:g} {each.unit} reachable"
        )
        say(f"  quota: {each.what}: {each.needed:g} {each.unit} needed at the peak, {reached}")
    for verdict in of_outcome(chosen, Outcome.UNKNOWN):
        say(f"  unknown: {verdict.rule}: {verdict.reason}")
    if chosen.blind_spots:
        say(f"  cannot be seen: {', '.join(chosen.blind_spots)}")
    for risk in chosen.risks:
        say(f"  risk: {risk}")
    say("")


UNSTATED = "what is reachable is not known"


def _show_score(advice: Advice) -> None:
    heading("What the choice weighs", f"in {advice.currency} a month; `weights` in the file")
    rows = [
        [line.what, money_words(line.amount, advice.currency), line.how] for line in advice.score
    ]
    print_table(["TERM", ">AMOUNT", "IS"], rows, empty="")


def show_part(part: PartPlan) -> None:
    """Print every verdict on the chosen candidate of a part and on all others."""
    for candidate in (*((part.chosen,) if part.chosen else ()), *part.rejected):
        chosen = "chosen" if candidate is part.chosen else answer_words(candidate, part.chosen)[0]
        tier = f" / {candidate.offer.tier}" if candidate.offer.tier else ""
        place = f"{size_words(candidate)} / {region_words(candidate)}"
        heading(f"{candidate.platform}{tier} / {place}", chosen)
        say(f"{cost_words(candidate.cost)} a month, {hours_words(candidate.day2_hours)} of work")
        ranked = sorted(candidate.verdicts, key=lambda verdict: _ORDER.index(verdict.outcome))
        rows = [[v.rule, v.outcome.value, v.reason, v.remedy] for v in ranked]
        print_table(["RULE", "VERDICT", "WHY", "WHAT WOULD CHANGE IT"], rows, empty="no rules")
    if part.regions:
        heading("Regions that are ruled out")
        by_reason: dict[str, list[str]] = {}
        for region, verdicts in part.regions.items():
            key = ", ".join(verdict.rule for verdict in verdicts)
            by_reason.setdefault(key, []).append(region)
        table = [[rules, ", ".join(names)] for rules, names in by_reason.items()]
        print_table(["RULE", "WHAT IT IS"], table, empty="")


def show_what_if(
    before: Advice, then: Advice, changes: Sequence[Change], kept: Sequence[str] = ()
) -> None:
    """Print both decisions and each place that is answered otherwise.

    `kept`: the fields of parts that still say something else than what was changed for all.
    """
    say(f"with {changes_words(changes)}")
    for field in kept:
        say(f"  `{field}` stands: what a part says itself comes before what is said for all")
    say(f"  before  {summary(before)}")
    say(f"  then    {summary(then)}\n")
    rows = itertools.chain.from_iterable(map(_difference_rows, differences(before, then)))
    print_table(
        ["PART", "PLATFORM", "TIER", "BEFORE", "THEN", "RULE", "WHY"],
        list(rows),
        empty="nothing is placed otherwise",
    )


def _difference_rows(found: Difference) -> list[list[Any]]:
    first = [found.part, found.platform, found.tier, found.before or "-", found.after or "-"]
    if not found.rules:
        return [[*first, "", found.place]]
    lead = [first, *([""] * 5 for _ in found.rules[1:])]
    return [
        [*cells, rule.rule, f"{rule.outcome.value}: {rule.reason}"]
        for cells, rule in zip(lead, found.rules, strict=True)
    ]


def show_why_not(found: Sequence[WhyNot]) -> None:
    """Print for each part what rejects the platform, and the fewest changes that admit it."""
    for each in found:
        candidate = each.candidate
        heading(f"{each.part} on {each.platform}", candidate.offer.tier or "")
        if not each.failing:
            say(f"{size_words(candidate)} in {region_words(candidate)}: no rule rejects it")
        else:
            rows = [[one.rule, one.reason, one.remedy] for one in each.failing]
            print_table(["RULE", "WHY", "WHAT WOULD CHANGE IT"], rows, empty="")
            if each.changes is None:
                say("\nno change that a rule names admits it: what is missing is the platform's")
                continue
            say(f"\nthe fewest changes that admit it: {changes_words(each.changes)}")
        if each.would_be_chosen:
            say("it is chosen then" if each.failing else "it is chosen")
        else:
            say(f"another weighs less; `requirements.platform: {each.platform}` chooses it")


def changes_words(changes: Sequence[Change]) -> str:
    """Write changes in a row."""
    return " and ".join(f"`{change}`" for change in changes)


def listed(names: Sequence[str]) -> str:
    """Write names in a row."""
    return ", ".join(f"`{name}`" for name in names)


def heading(text: str, detail: str = "") -> None:
    """Print a heading."""
    console().print(f"\n{text}", style="bold", markup=False, end="" if detail else "\n")
    if detail:
        console().print(f"  {detail}", markup=False, highlight=False)


def say(text: str) -> None:
    """Print one line as it is."""
    console().print(text, markup=False, highlight=False, soft_wrap=True)
