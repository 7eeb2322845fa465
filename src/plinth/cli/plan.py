"""The verb `plan`: where a workload fits, without a server and without starting anything."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from plinth.catalog.machine import local_offer
from plinth.catalog.platforms import load_platforms, platform_names
from plinth.cli.files import check_beside, read_workload
from plinth.cli.output import console, print_json, print_table
from plinth.cli.session import JsonOption
from plinth.cli.show import show_plan
from plinth.cli.verb import verb
from plinth.cli.workloads import FileArgument, TeamOption
from plinth.domain.plan import Change, Plan
from plinth.planning.context import Context
from plinth.planning.counterfactual import (
    Difference,
    WhyNot,
    change_workload,
    differences,
    read_change,
    why_not,
)
from plinth.planning.explain import require_chosen, summary
from plinth.planning.planner import plan as make_plan

WhatIfOption = Annotated[
    list[str] | None,
    typer.Option(
        "--what-if",
        metavar="FIELD=VALUE",
        help="Plan as if the file said this; may be given again",
    ),
]
WhyNotOption = Annotated[
    str | None,
    typer.Option(
        "--why-not", metavar="PLATFORM", help="Say what rejects it, and what would admit it"
    ),
]


def plan(
    file: FileArgument,
    *,
    team: TeamOption = None,
    what_if: WhatIfOption = None,
    why: WhyNotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where a workload fits, by which rules, and what would change a refusal.

    Needs no running Plinth. Exit code 1 when nothing fits. What only a running node knows (the
    isolation it reaches) is unknown here; `plinth run` and `plinth apply` ask it.
    """
    workload = read_workload(file, team)
    check_beside(workload, file)
    # Platforms without offers give no candidate; they are read when one may be asked for by name.
    others = dict.fromkeys(platform_names(), ()) if why is not None else None
    platforms = load_platforms([local_offer()], None, others=others)
    context = Context(known_platforms=platform_names())
    before = make_plan(workload, platforms, context)
    # Whatever is asked besides is asked of the workload as it would be then.
    changes = [read_change(workload, text) for text in what_if or ()]
    made = before
    if changes:
        workload = change_workload(workload, changes)
        made = make_plan(workload, platforms, context)
    asked = None if why is None else why_not(workload, platforms, context, why)
    if as_json:
        print_json(_as_json(before, made, changes, asked))
    elif asked is not None:
        _show_why_not(asked)
    elif changes:
        _show_what_if(before, made, changes)
    else:
        _show(made)
    if asked is None:
        require_chosen(made)


def _as_json(
    before: Plan, made: Plan, changes: Sequence[Change], asked: WhyNot | None
) -> dict[str, Any]:
    """Return the plan; with `--what-if` also the one before, with `--why-not` its answer."""
    found = made.model_dump(mode="json")
    if changes:
        found["what_if"] = {
            "changes": [change.model_dump(mode="json") for change in changes],
            "before": before.model_dump(mode="json"),
            "differences": [
                asdict(each) | {"rules": [rule.model_dump(mode="json") for rule in each.rules]}
                for each in differences(before, made)
            ],
        }
    if asked is not None:
        found["why_not"] = {
            "platform": asked.platform,
            "failing": [verdict.model_dump(mode="json") for verdict in asked.failing],
            "changes": None
            if asked.changes is None
            else [change.model_dump(mode="json") for change in asked.changes],
            "would_be_chosen": asked.would_be_chosen,
        }
    return found


def _show(made: Plan) -> None:
    show_plan(made.model_dump(mode="json"))
    if made.chosen is not None:
        console().print(f"\n{summary(made)}", markup=False)


def _show_what_if(before: Plan, made: Plan, changes: Sequence[Change]) -> None:
    _say(f"with {_listed(changes)}")
    _say(f"  before  {summary(before)}")
    _say(f"  then    {summary(made)}\n")
    rows = itertools.chain.from_iterable(map(_rows, differences(before, made)))
    print_table(
        ["CANDIDATE", "BEFORE", "THEN", "RULE", "WHY"],
        list(rows),
        empty="no rule says anything else",
    )


def _rows(found: Difference) -> list[list[Any]]:
    name = f"{found.platform} / {found.size} / {found.region}"
    first = [name, found.before or "-", found.after or "-"]
    if not found.rules:
        return [[*first, "", ""]]
    lead = [first, *(["", "", ""] for _ in found.rules[1:])]
    return [
        [*cells, rule.rule, f"{rule.outcome.value}: {rule.reason}"]
        for cells, rule in zip(lead, found.rules, strict=True)
    ]


def _show_why_not(found: WhyNot) -> None:
    if found.candidate is None:
        _say(f"`{found.platform}` is known to Plinth, which cannot run anything there yet")
        return
    offer = found.candidate.offer
    name = f"{found.platform} / {offer.sku} / {offer.region}"
    if not found.failing:
        _say(f"{name}: no rule rejects it")
    else:
        rows = [[each.rule, each.reason, each.remedy] for each in found.failing]
        _say(f"{name} is rejected:\n")
        print_table(["RULE", "WHY", "WHAT WOULD CHANGE IT"], rows, empty="")
        if found.changes is None:
            _say("\nno change to the file admits it: what is missing is the platform's")
            return
        _say(f"\nthe fewest changes that admit it: {_listed(found.changes)}")
    if found.would_be_chosen:
        _say("it is chosen then" if found.failing else "it is chosen")
    else:
        _say(f"another is better by price; `requirements.platform: {found.platform}` chooses it")


def _listed(changes: Sequence[Change]) -> str:
    return " and ".join(f"`{change}`" for change in changes)


def _say(text: str) -> None:
    console().print(text, markup=False, highlight=False, soft_wrap=True)


COMMANDS = {"plan": verb(plan, "plan")}
