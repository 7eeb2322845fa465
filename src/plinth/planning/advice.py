"""A whole workload to an Advice: where each part is best placed, together, and why.

The command line calls it; it needs no server. Pure: the same inputs give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from plinth.catalog.catalog import Catalog
from plinth.catalog.platforms import system_of
from plinth.domain.application import Application, Declaration, Weights
from plinth.domain.need import Need, needs_of
from plinth.domain.plan import (
    Advice,
    Candidate,
    CostLine,
    MonthCost,
    Outcome,
    PartPlan,
    ScoreLine,
    Verdict,
)
from plinth.domain.platform import Platform
from plinth.kit.ids import digest_of
from plinth.planning.choice import choose
from plinth.planning.context import Context, Market
from plinth.planning.external import external_verdicts
from plinth.planning.joint import Choice
from plinth.planning.named import with_known_names
from plinth.planning.offers.offers import Offers
from plinth.planning.places import Places, is_default, promised
from plinth.planning.rules.batch_tree import batch_verdict
from plinth.planning.rules.joint import exceeds, joint_verdicts, within_budget
from plinth.planning.rules.ladder import ladder_verdict
from plinth.planning.rules.rule import unknown

# By cost alone.
FREE = Weights(hour=0, unknown=0, reuse=0, guidance=0, apart=0)


def make_advice(declaration: Declaration, market: Market) -> Advice:
    """Choose a place for every part, so that together they cost least among all that is feasible.

    Raises Invalid for a region or a platform in the file that nobody knows.
    """
    names = {platform.name for platform in market.platforms}
    declaration = with_known_names(declaration, market.catalog, names)
    advice = _advise(declaration, market, weights_of(declaration, market.context))
    budget = declaration.requirements.budget
    if budget is None or len(advice.parts) <= 1:
        return advice
    cost = _in_currency(advice.cost, budget.currency, market.catalog)
    if cost is None:
        said = unknown("E4", f"the budget is in {budget.currency}, and no rate to it is stated")
        return advice.model_copy(update={"joint": (*advice.joint, said)})
    aside = ""
    if exceeds(cost, budget):
        cheapest = _advise(declaration, market, FREE)
        least = _in_currency(cheapest.cost, budget.currency, market.catalog)
        if least is not None and not exceeds(least, budget):
            advice, cost = cheapest, least
            aside = "; all else that the choice weighs was left aside for it"
    said = within_budget(cost, budget, aside)
    return advice.model_copy(update={"joint": (*advice.joint, said)})


def make_choice(declaration: Declaration, market: Market) -> Mapping[str, str | None]:
    """Return the platform that `make_advice` chooses for each part, without the reasons.

    None: it has no place. Raises Invalid as `make_advice` does.
    """
    names = {platform.name for platform in market.platforms}
    known = with_known_names(declaration, market.catalog, names)
    if known.requirements.budget is not None:
        # Whether all keep to it together, only the whole advice says.
        parts = make_advice(known, market).parts
        return {each.name: each.chosen.platform if each.chosen else None for each in parts}
    needs = needs_of(known)
    weights = weights_of(known, market.context)
    choice = choose(_find(needs, market, weights), weights, market)
    entries = (None,) * len(needs) if choice is None else choice.entries
    return {
        need.name: None if entry is None else entry.platform
        for need, entry in zip(needs, entries, strict=True)
    }


def _in_currency(cost: MonthCost, currency: str, catalog: Catalog) -> MonthCost | None:
    """Return a cost in another currency, by the rate that was stated; None: there is none."""
    if cost.currency == currency:
        return cost
    found = catalog.exchange.rate(cost.currency, currency)
    if found is None:
        return None

    def turned(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else amount * found.rate

    lines = tuple(
        line.model_copy(
            update={
                "amount": turned(line.amount),
                "low": turned(line.low),
                "high": turned(line.high),
            }
        )
        for line in cost.lines
    )
    return MonthCost(currency=currency, lines=lines)


def _advise(declaration: Declaration, market: Market, weights: Weights) -> Advice:
    needs = needs_of(declaration)
    by_name = {platform.name: platform for platform in _ordered(market.platforms)}
    parts = _find(needs, market, weights)
    choice = choose(parts, weights, market)
    chosen = (None,) * len(parts) if choice is None else choice.entries
    home = _home(choice)
    plans = tuple(
        _explained(each.plan(entry, home), by_name)
        for each, entry in zip(parts, chosen, strict=True)
    )
    placed = [part.chosen for part in plans if part.chosen is not None]
    return Advice(
        name=declaration.name,
        currency=market.context.currency,
        home=home,
        parts=plans,
        joint=joint_verdicts(needs, plans, market.catalog, market.context),
        cost=_total(plans, market.context.currency),
        day2_hours=_hours(placed),
        score=_score(needs, plans, by_name, weights, home=home, context=market.context),
        inputs_digest=digest_of(_inputs(declaration, market)),
        external=external_verdicts(declaration, market.context, market.catalog),
    )


def _home(choice: Choice | None) -> str | None:
    """Return the region that most of it shares: where nothing stands at home, the commonest."""
    regions = [entry.region for entry in choice.entries if entry] if choice else []
    if choice is None or not regions:
        return None
    return choice.home if choice.home in regions else max(regions, key=regions.count)


def weights_of(declaration: Declaration, context: Context) -> Weights:
    """Return the weights that hold: the file's own, else the context's."""
    return declaration.weights if isinstance(declaration, Application) else context.weights


def places_of(declaration: Declaration, part: str, market: Market) -> Places:
    """Return one part's places on the market, for a closer look at them.

    Names in the declaration are those of the catalog already (`with_known_names`). Raises KeyError
    for a part that there is not.
    """
    needs = {need.name: need for need in needs_of(declaration)}
    return _find((needs[part],), market, weights_of(declaration, market.context))[0]


def _ordered(platforms: Iterable[Platform]) -> list[Platform]:
    return sorted(platforms, key=lambda platform: platform.name)


def _find(needs: Sequence[Need], market: Market, weights: Weights) -> list[Places]:
    offers = Offers(market.catalog, market.context, market.local)
    found = [Places(need, offers, market.catalog, market.context, weights) for need in needs]
    for places in found:
        places.find(_ordered(market.platforms))
    return found


def _explained(part: PartPlan, platforms: Mapping[str, Platform]) -> PartPlan:
    """Add to what was chosen how the guidance's ladder, or its tree, leads there."""
    if part.chosen is None:
        return part
    found: list[Verdict | None] = []
    if part.function == "online":
        found.append(ladder_verdict(part, platforms))
    if part.function == "batch":
        found.append(batch_verdict(part, platforms))
    more = tuple(each for each in found if each is not None)
    if not more:
        return part
    verdicts = (*part.chosen.verdicts, *more)
    return part.model_copy(update={"chosen": part.chosen.model_copy(update={"verdicts": verdicts})})


def _total(parts: Sequence[PartPlan], currency: str) -> MonthCost:
    """Return the cost of all parts, a line for each."""
    lines = []
    for part in parts:
        cost = None if part.chosen is None else part.chosen.cost
        if cost is None:
            how = "it has no place" if part.chosen is None else "its cost was not reckoned"
            lines.append(CostLine(what=part.name, amount=None, how=how))
            continue
        same = cost.currency == currency
        lines.append(
            CostLine(
                what=part.name,
                amount=cost.amount if same else None,
                low=cost.low if same else None,
                high=cost.high if same else None,
                estimated=cost.is_estimated,
                how="; ".join(line.how for line in cost.lines)
                if same
                else f"it is in {cost.currency}, and no rate to {currency} is stated",
            )
        )
    return MonthCost(currency=currency, lines=tuple(lines))


def _hours(placed: Sequence[Candidate]) -> float | None:
    """Return a month's hours of work, each service's once; None where one is unknown."""
    if any(each.day2_hours is None for each in placed):
        return None
    return sum(_by_family(placed).values())


def _by_family(placed: Sequence[Candidate]) -> dict[str, float]:
    """Return the hours of each service: of its platforms that are used, the most."""
    hours: dict[str, float] = {}
    for each in placed:
        family = system_of(each.platform)
        hours[family] = max(hours.get(family, 0), each.day2_hours or 0)
    return hours


def _score(
    needs: Sequence[Need],
    parts: Sequence[PartPlan],
    platforms: Mapping[str, Platform],
    weights: Weights,
    *,
    home: str | None,
    context: Context,
) -> tuple[ScoreLine, ...]:
    """Return the terms of the choice, as the search has weighed them."""
    placed = [part.chosen for part in parts if part.chosen is not None]
    lines = []
    cost = sum(
        (
            each.cost.amount
            for each in placed
            if each.cost and each.cost.amount is not None and each.cost.currency == context.currency
        ),
        Decimal(0),
    )
    lines.append(ScoreLine(what="cost", amount=cost, how="of a month, as far as it is known"))
    paid = sum(
        (
            promised(need, part.chosen.platform, part.chosen.cost.amount, context)
            for need, part in zip(needs, parts, strict=True)
            if part.chosen
            and part.chosen.cost
            and part.chosen.cost.amount is not None
            and part.chosen.cost.currency == context.currency
        ),
        Decimal(0),
    )
    if paid:
        lines.append(
            ScoreLine(what="promised", amount=-paid, how="of it is paid anyway: promised spend")
        )
    hours = _by_family([each for each in placed if not each.owned])
    total = Decimal(str(sum(hours.values())))
    lines.append(_line("day-2 work", total, weights.hour, "hours on services not owned yet"))
    unknown = sum(
        verdict.outcome is Outcome.UNKNOWN for each in placed for verdict in each.verdicts
    )
    lines.append(_line("unknowns", Decimal(unknown), weights.unknown, "open questions"))
    owned = sum(each.owned for each in placed)
    lines.append(_line("reuse", Decimal(-owned), weights.reuse, "parts on what you own"))
    named = sum(
        part.chosen is not None and is_default(platforms[part.chosen.platform], part.function)
        for part in parts
    )
    lines.append(_line("guidance", Decimal(-named), weights.guidance, "the guidance's defaults"))
    if len(parts) > 1 and home is not None:
        apart = sum(each.offer.region != home for each in placed)
        lines.append(_line("apart", Decimal(apart), weights.apart, f"parts away from {home}"))
    return tuple(lines)


def _line(what: str, number: Decimal, weight: float, of: str) -> ScoreLine:
    each = Decimal(str(weight))
    return ScoreLine(what=what, amount=number * each, how=f"{float(number):g} x {weight:g}: {of}")


def _inputs(declaration: Declaration, market: Market) -> bytes:
    """Return all that an advice depends on as JSON with sorted keys."""
    inputs = {
        "catalog": market.catalog.digest,
        "context": market.context.model_dump(mode="json"),
        "local": [offer.model_dump(mode="json") for offer in market.local],
        "platforms": [_digest(platform) for platform in _ordered(market.platforms)],
        "workload": declaration.model_dump(mode="json"),
    }
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


@lru_cache(maxsize=256)
def _digest(platform: Platform) -> str:
    # Facts do not change while a process runs, and writing them all takes longer than a plan.
    return digest_of(platform.model_dump_json().encode())
