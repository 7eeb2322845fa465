"""The verb `plan`: where each part fits best, why, and what would change it; starts nothing."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from plinth.catalog.catalog import open_catalog
from plinth.catalog.inventory import load_inventory
from plinth.catalog.machine import local_offer
from plinth.catalog.platforms import load_platforms, platform_names
from plinth.cli.files import check_beside, read_declaration
from plinth.cli.output import note, print_json, write_page
from plinth.cli.plan_check import check_endpoint
from plinth.cli.plan_report import report_page
from plinth.cli.plan_text import (
    changes_words,
    show_advice,
    show_part,
    show_what_if,
    show_why_not,
)
from plinth.cli.session import HomeOption, JsonOption, open_home
from plinth.cli.verb import verb
from plinth.cli.workloads import FileArgument, TeamOption
from plinth.client.data_files import find_files
from plinth.domain.application import Declaration
from plinth.domain.batch import BatchInference
from plinth.domain.money import parse_currency
from plinth.domain.plan import Advice, Change, MonthCost, PartPlan
from plinth.domain.workload import Endpoint
from plinth.kit.errors import Invalid
from plinth.kit.home import Home
from plinth.planning.advice_words import require_feasible
from plinth.planning.change import kept_by_parts, read_change
from plinth.planning.context import Context, Market
from plinth.planning.counterfactual import Asked, WhyNot, differences, relaxations, why_not
from plinth.planning.named import region_warnings

CURRENCY = "USD"
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
PartOption = Annotated[
    str | None,
    typer.Option("--part", metavar="PART", help="Show every verdict on every candidate of a part"),
]
ReportOption = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Also write the plan as one HTML page"),
]
CurrencyOption = Annotated[
    str,
    typer.Option("--currency", metavar="CODE", help="Reckon in this currency, at a stated rate"),
]


def plan(  # noqa: PLR0913 - each is an option of the command
    file: FileArgument,
    *,
    team: TeamOption = None,
    what_if: WhatIfOption = None,
    why: WhyNotOption = None,
    part: PartOption = None,
    report: ReportOption = None,
    currency: CurrencyOption = CURRENCY,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where a workload, or each part of an application, fits best, and why not elsewhere.

    Needs no running Plinth and no account. Exit code 1 when a part fits nowhere, and for what
    `plinth apply` would refuse of an endpoint: a Plinth that runs is asked. What only a running
    node knows (the isolation it reaches) is unknown here; `plinth run` and `plinth apply` ask it.
    """
    declaration = read_declaration(file, team)
    check_beside(declaration, file)
    asked = asked_of(declaration, open_home(home), currency)
    before = asked.advise()
    # Whatever is asked besides is asked of the workload as it would be then.
    changes = [read_change(declaration, text) for text in what_if or ()]
    if changes:
        asked = asked.changed(changes)
    advice = asked.advise() if changes else before
    if report is not None:
        page = report_page(advice, asked.declaration, datetime.now(UTC).date())
        write_page(report, page)
        note(f"the report is in `{report}`")
    found = None if why is None else why_not(asked, why)
    if as_json:
        told = _as_json(before, advice, changes, found)
        print_json(told | {"warnings": _warnings(asked, file)})
    elif found is not None:
        show_why_not(found)
    elif changes:
        show_what_if(before, advice, changes, kept_by_parts(declaration, changes))
    elif part is not None:
        show_part(_find_part(advice, part))
    else:
        show_advice(advice)
    warnings = _warnings(asked, file)
    for each in warnings:
        note(f"warning: {each}")
    if found is None:
        require_feasible(advice, _nearest(asked, advice))
        _check(asked.declaration, home, said=warnings)


def asked_of(declaration: Declaration, home: Home, currency: str = CURRENCY) -> Asked:
    """Return the question with all that a home knows: imports, inventory; and this machine."""
    catalog = open_catalog(home.catalog)
    parse_currency(currency)
    if currency != CURRENCY and catalog.exchange.rate(CURRENCY, currency) is None:
        raise Invalid(
            f"`--currency {currency}`: prices are in {CURRENCY}, and no rate from it is stated",
            hint="state one with `plinth catalog import FILE` (kind: exchange-rates)",
        )
    local = local_offer()
    others: dict[str, tuple[()]] = dict.fromkeys(platform_names(), ())
    market = Market(
        platforms=load_platforms([local], None, others=others),
        catalog=catalog,
        context=Context(
            currency=currency,
            inventory=load_inventory(home.catalog),
            today=datetime.now(UTC).date(),
        ),
        local=(local,),
    )
    return Asked(declaration, market)


def _warnings(asked: Asked, file: Path) -> list[str]:
    """Return what the file allows and probably does not mean."""
    declaration = asked.declaration
    if isinstance(declaration, BatchInference) and declaration.files is not None:
        try:
            find_files(declaration.files, file.parent)
        except Invalid as err:
            return [f"{err.message}; `plinth batch run` refuses it"]
    if not isinstance(declaration, Endpoint):
        return []
    policy = declaration.policy_warnings(declaration.by_name())
    return [*policy, *region_warnings(declaration, asked.market.catalog.regions)]


def _check(declaration: Declaration, home: Path | None, *, said: list[str]) -> None:
    """Refuse what applying it would refuse; say the warnings that only a control plane knows."""
    if not isinstance(declaration, Endpoint):
        return
    for each in check_endpoint(declaration, home):
        if each not in said:
            note(f"warning: {each}")


def _find_part(advice: Advice, name: str) -> PartPlan:
    for part in advice.parts:
        if part.name == name:
            return part
    names = ", ".join(f"`{part.name}`" for part in advice.parts)
    raise Invalid(f"there is no part `{name}`; accepted: {names}")


def _nearest(asked: Asked, advice: Advice) -> list[str]:
    """Return for each part without a place the fewest changes that give it one."""
    return [
        f"for `{part.name}`, {changes_words(each.changes or ())} admits `{each.platform}`"
        for part in advice.parts
        if part.chosen is None
        for each in relaxations(asked, part.name)
    ]


def _as_json(
    before: Advice, advice: Advice, changes: list[Change], found: tuple[WhyNot, ...] | None
) -> dict[str, Any]:
    """Return the advice; with `--what-if` also the one before, with `--why-not` its answer."""
    told = _advice_json(advice)
    if changes:
        told["what_if"] = {
            "changes": [change.model_dump(mode="json") for change in changes],
            "before": _advice_json(before),
            "differences": [
                asdict(each) | {"rules": [rule.model_dump(mode="json") for rule in each.rules]}
                for each in differences(before, advice)
            ],
        }
    if found is not None:
        told["why_not"] = [
            {
                "part": each.part,
                "platform": each.platform,
                "failing": [verdict.model_dump(mode="json") for verdict in each.failing],
                "changes": None
                if each.changes is None
                else [change.model_dump(mode="json") for change in each.changes],
                "would_be_chosen": each.would_be_chosen,
            }
            for each in found
        ]
    return told


def _advice_json(advice: Advice) -> dict[str, Any]:
    """Return the advice with the sums of its costs, which its fields leave to be reckoned."""
    told = advice.model_dump(mode="json")
    told["cost"] |= _sums(advice.cost)
    for part, written in zip(advice.parts, told["parts"], strict=True):
        others = zip(part.rejected, written["rejected"], strict=True)
        both = [(part.chosen, written["chosen"]), *others]
        for candidate, fields in both:
            if candidate is not None and candidate.cost is not None:
                fields["cost"] |= _sums(candidate.cost)
    return told


def _sums(cost: MonthCost) -> dict[str, Any]:
    return {
        name: None if amount is None else format(amount, "f")
        for name, amount in (("amount", cost.amount), ("low", cost.low), ("high", cost.high))
    }


COMMANDS = {"plan": verb(plan, "plan")}
