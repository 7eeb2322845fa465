"""A whole workload to an Advice: where each part is best placed, together, and why.

The command line calls it; it needs no server. Pure: the same inputs give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from plinth.catalog.catalog import Catalog
from plinth.catalog.machine import LOCAL
from plinth.domain.application import Application, Declaration, Weights
from plinth.domain.mistake import nearest_name
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
from plinth.kit.errors import Invalid
from plinth.kit.ids import digest_of
from plinth.planning.context import Context, Market
from plinth.planning.joint import MICRO, Choice, Question, search
from plinth.planning.offers.month_tokens import ANYWHERE
from plinth.planning.offers.offers import Offers
from plinth.planning.places import NOWHERE, Places, family_of, is_default, promised
from plinth.planning.rules.batch_tree import batch_verdict
from plinth.planning.rules.joint import exceeds, joint_verdicts, within_budget
from plinth.planning.rules.ladder import ladder_verdict

_GB = Decimal(10**9)
# By cost alone.
FREE = Weights(hour=0, unknown=0, reuse=0, guidance=0, apart=0)


def make_advice(declaration: Declaration, market: Market) -> Advice:
    """Choose a place for every part, so that together they cost least among all that is feasible.

    Raises Invalid for a region or a platform in the file that nobody knows.
    """
    advice = _advise(declaration, market, weights_of(declaration, market.context))
    budget = declaration.requirements.budget
    if budget is None or len(advice.parts) == 1 or budget.currency != advice.currency:
        return advice
    aside = ""
    if exceeds(advice.cost, budget):
        cheapest = _advise(declaration, market, FREE)
        if not exceeds(cheapest.cost, budget):
            advice, aside = cheapest, "; all else that the choice weighs was left aside for it"
    return advice.model_copy(
        update={"joint": (*advice.joint, within_budget(advice.cost, budget, aside))}
    )


def _advise(declaration: Declaration, market: Market, weights: Weights) -> Advice:
    needs = needs_of(declaration)
    by_name = {platform.name: platform for platform in _ordered(market.platforms)}
    check_names(declaration, needs, by_name, market.catalog)
    parts = _find(needs, market, weights)
    choice = _choose(parts, weights, market)
    home = None if choice is None else choice.home
    chosen = (None,) * len(parts) if choice is None else choice.entries
    plans = tuple(
        _explained(each.plan(entry, home), by_name)
        for each, entry in zip(parts, chosen, strict=True)
    )
    placed = [part.chosen for part in plans if part.chosen is not None]
    return Advice(
        name=declaration.name,
        currency=market.context.currency,
        home=home if placed else None,
        parts=plans,
        joint=joint_verdicts(needs, plans, market.catalog, market.context),
        cost=_total(plans, market.context.currency),
        day2_hours=_hours(placed),
        score=_score(needs, plans, by_name, weights, home=home, context=market.context),
        inputs_digest=digest_of(_inputs(declaration, market)),
    )


def weights_of(declaration: Declaration, context: Context) -> Weights:
    """Return the weights that hold: the file's own, else the context's."""
    return declaration.weights if isinstance(declaration, Application) else context.weights


def places_of(declaration: Declaration, part: str, market: Market) -> Places:
    """Return one part's places on the market, for a closer look at them.

    Raises KeyError for a part that there is not.
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


def check_names(
    declaration: Declaration,
    needs: Sequence[Need],
    platforms: Mapping[str, Platform],
    catalog: Catalog,
) -> None:
    """Raise Invalid for the first region or platform in the file that nobody knows."""
    for need in needs:
        wanted = need.requirements
        for name in (*wanted.regions, *((wanted.residency,) if wanted.residency else ())):
            _check_region(name, catalog, groups=True)
        if wanted.platform is not None:
            _check_platform(wanted.platform, platforms)
    if isinstance(declaration, Application):
        for data in declaration.data.values():
            if data.region is not None:
                _check_region(data.region, catalog, groups=False)
            if data.platform is not None:
                _check_platform(data.platform, platforms)


def _check_region(name: str, catalog: Catalog, *, groups: bool) -> None:
    if name in (LOCAL, ANYWHERE) or name in catalog.regions:
        return
    if groups:
        catalog.regions.expand(name)
    else:
        catalog.regions.find(name)


def _check_platform(name: str, platforms: Mapping[str, Platform]) -> None:
    if name in platforms:
        return
    near = nearest_name(name, tuple(platforms))
    raise Invalid(
        f"there is no platform `{name}`" + (f"; did you mean `{near}`?" if near else ""),
        hint="`plinth catalog platforms` lists those that Plinth knows",
    )


def _choose(parts: Sequence[Places], weights: Weights, market: Market) -> Choice | None:
    needs = [places.need for places in parts]
    owned = {way.platform.name for places in parts for way in places.ways if way.owned}
    work = {
        platform.name: int((platform.capability.day2.total or 0) * weights.hour * MICRO)
        for platform in market.platforms
        if platform.name not in owned
    }
    apart = int(weights.apart * MICRO)
    several = len(parts) > 1
    unplaced = [_unplaced_gb(need) for need in needs]

    def away(part: int, home: str) -> int:
        return (apart if several else 0) + int(unplaced[part] * _rate(market.catalog, home) * MICRO)

    names = [need.name for need in needs]
    together = (
        (names.index("train"), names.index("tune")) if {"train", "tune"} <= set(names) else None
    )
    return search(
        Question(
            parts=[places.entries for places in parts],
            settle=lambda part, entry: parts[part].settle(entry),
            work=work,
            away=away,
            homes=_homes(needs, parts, market.catalog),
            together=together,
            family={platform.name: family_of(platform.name) for platform in market.platforms},
        )
    )


def _homes(needs: Sequence[Need], parts: Sequence[Places], catalog: Catalog) -> tuple[str, ...]:
    """Return every region that may be home, the preferred first.

    Where data lies, then the regions of the file in its order, then Azure's order.
    """
    reached = {entry.region for places in parts for entry in places.entries}
    wanted: list[str] = []
    for need in needs:
        wanted += [data.region for data in need.data.values() if data.region]
    for need in needs:
        for name in need.requirements.regions:
            wanted += catalog.regions.groups.get(name, (name,))
    order = dict.fromkeys([*wanted, LOCAL, *catalog.regions.names, *sorted(reached)])
    return tuple(region for region in order if region in reached)


def _unplaced_gb(need: Need) -> Decimal:
    """Return the GB that it reads in a month of data that lies wherever home is."""
    moved = sum(need.moved_bytes_of(each) for each in need.data.values() if each.region is None)
    return Decimal(str(moved)) / _GB


def _rate(catalog: Catalog, home: str) -> Decimal:
    if home not in catalog.regions:
        return Decimal(0)
    price = catalog.egress.between(home, NOWHERE)
    return Decimal(0) if price is None else price.amount


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
        family = family_of(each.platform)
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
        (each.cost.amount for each in placed if each.cost and each.cost.amount is not None),
        Decimal(0),
    )
    lines.append(ScoreLine(what="cost", amount=cost, how="of a month, as far as it is known"))
    paid = sum(
        (
            promised(need, part.chosen.platform, part.chosen.cost.amount, context)
            for need, part in zip(needs, parts, strict=True)
            if part.chosen and part.chosen.cost and part.chosen.cost.amount is not None
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
