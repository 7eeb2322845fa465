"""Every place of one part: judged as far as the search needs it, and whole where it is shown.

A platform is judged once for each way to buy it, a region once, and only what is left is judged
offer by offer, when the search asks. `advice.py` makes one `Places` for each part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, lru_cache

from plinth.catalog.catalog import Catalog
from plinth.catalog.machine import LOCAL
from plinth.catalog.names import nearest
from plinth.catalog.platforms import find_facts
from plinth.domain.application import Weights
from plinth.domain.need import Need
from plinth.domain.plan import Candidate, CostLine, Headroom, MonthCost, Outcome, PartPlan, Verdict
from plinth.domain.platform import Function, Offer, Platform, PriceTier
from plinth.planning.context import Context, Placement
from plinth.planning.joint import MICRO, UNKNOWN_COST, Entry
from plinth.planning.offers.headroom import headroom
from plinth.planning.offers.month import month_cost
from plinth.planning.offers.offers import Offers
from plinth.planning.rules import RULES_OF
from plinth.planning.rules.rule import Rule, Scope, not_ok
from plinth.planning.standby import choose_standby, needs_standby

# The requirements that the guidance names a default answer for, by function.
DEFAULTS: Mapping[Function, frozenset[str]] = {
    "explore": frozenset({"E6a"}),
    "train": frozenset({"T7"}),
    "batch": frozenset({"H15", "H12"}),
    "online": frozenset({"H16", "H18b"}),
    "flow": frozenset({"O4"}),
}
_GB = Decimal(10**9)
# The only region whose way to the internet has a price in the list.
_PRICED = "eastus"
PROMPT_FLOW = "prompt-flow"
# What stands for a region and a size where a platform sells nothing that could be judged.
NOWHERE = "-"

Verdicts = dict[int, Verdict]


@dataclass(frozen=True, slots=True)
class Way:
    """One platform and one way to buy it, judged by all that does not depend on the region."""

    platform: Platform
    tier: PriceTier | None
    verdicts: Verdicts
    owned: bool

    @property
    def is_feasible(self) -> bool:
        """Tell whether nothing rejects it before its regions are looked at."""
        return not _rejects(self.verdicts)


@dataclass(slots=True)
class Place:
    """One offer that a part may stand on, with its cost and, once asked, all verdicts on it."""

    way: Way
    offer: Offer
    count: int
    cost: MonthCost
    verdicts: Verdicts | None = None


@dataclass(slots=True)
class Places:
    """All places of one part. `regions`: those that it may use by its own rules."""

    need: Need
    offers: Offers
    catalog: Catalog
    context: Context
    weights: Weights
    ways: list[Way] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    by_region: dict[str, Verdicts] = field(default_factory=dict)
    _sold: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _allowed: dict[str, bool] = field(default_factory=dict)
    _seconds: dict[tuple[str, tuple[str, ...]], str | None] = field(default_factory=dict)

    def find(self, platforms: Sequence[Platform]) -> None:
        """Judge every way on every platform, and enter each place that nothing rejects yet."""
        for platform in platforms:
            for tier in self._tiers(platform):
                self.find_way(platform, tier)

    def find_way(self, platform: Platform, tier: PriceTier | None) -> None:
        """Judge one way to buy a platform, if it makes sense for the need, and enter its places."""
        if tier not in self._tiers(platform):
            return
        way = self._way(platform, tier)
        self.ways.append(way)
        if way.is_feasible:
            self._enter(way)

    def admits(self, platform: Platform, tier: PriceTier | None) -> bool:
        """Tell whether a way to buy a platform has a place that no rule rejects.

        It ends at the first, and enters none.
        """
        if tier not in self._tiers(platform):
            return False
        way = self._way(platform, tier)
        return way.is_feasible and any(
            not _rejects(self._judged(self._place(way, offer))) for offer in self._placed(way)
        )

    def settle(self, entry: Entry) -> int | None:
        """Judge an entry's offer; return what its unknowns weigh, None where it is rejected."""
        verdicts = self._judged(self.places[entry.number])
        if _rejects(verdicts):
            return None
        return self._unknowns(verdicts)

    def candidate(self, place: Place) -> Candidate:
        """Return a place with every verdict on it, in the order of the rules."""
        verdicts = {
            **place.way.verdicts,
            **self._in_region(place.offer.region),
            **self._judged(place),
        }
        capability = place.way.platform.capability
        limits = headroom(self.need, place.offer, place.count, self.catalog, place.way.platform)
        return Candidate(
            platform=place.way.platform.name,
            offer=place.offer,
            verdicts=tuple(verdicts[number] for number in sorted(verdicts)),
            cost_per_hour=None
            if place.offer.price_per_hour is None
            else place.offer.price_per_hour * place.count,
            count=place.count,
            cost=place.cost,
            day2_hours=capability.day2.total,
            headroom=limits,
            owned=place.way.owned,
            startable=place.way.platform.name in self.context.startable
            and self.need.function in ("train", "online"),
            blind_spots=capability.monitoring.blind_spots,
            risks=(*_risks(place), *self._risks_of_need(place, limits)),
            weight=self._weight(place, verdicts),
        )

    def plan(self, chosen: Entry | None, home: str | None) -> PartPlan:
        """Return the part's answer: the chosen place, and the best of every other way."""
        taken = None if chosen is None else self.places[chosen.number]
        others = self.others(taken, home)
        platforms = {way.platform.name: way.platform for way in self.ways}.values()
        for region in {each for platform in platforms for each in self._sold_in(platform)}:
            self._in_region(region)
        return PartPlan(
            name=self.need.name,
            function=self.need.function,
            chosen=None if taken is None else self._chosen(taken, home),
            rejected=tuple(others),
            regions={
                region: tuple(each for each in verdicts.values() if _is_no(each))
                for region, verdicts in sorted(self.by_region.items())
                if _rejects(verdicts)
            },
        )

    def others(self, taken: Place | None, home: str | None) -> list[Candidate]:
        """Return the best place of every way but the one that is taken, the nearest first."""
        best = {id(place.way): place for place in self._best_by_way(home)}
        others = [
            self.candidate(best[id(way)]) if id(way) in best else self._nowhere(way, home)
            for way in self.ways
            if taken is None or way is not taken.way
        ]
        others.sort(key=self._order)
        return others

    def _chosen(self, place: Place, home: str | None) -> Candidate:
        candidate = self.candidate(place)
        return candidate if home is None else self.with_unplaced(candidate, home)

    def _way(self, platform: Platform, tier: PriceTier | None) -> Way:
        offer = _standing_for(NOWHERE, tier)
        owned = platform.name == LOCAL or bool(self.context.inventory.of(platform.name))
        return Way(platform, tier, self._ask(Scope.WAY, platform, offer), owned)

    def _tiers(self, platform: Platform) -> tuple[PriceTier | None, ...]:
        return self.offers.tiers(self.need, platform) or (None,)

    def _enter(self, way: Way) -> None:
        base = self._unknowns(way.verdicts) - self._credit(way)
        for offer in self._placed(way):
            floor = base + self._unknowns(self._in_region(offer.region))
            self._add(self._place(way, offer), floor)

    def _placed(self, way: Way) -> Iterator[Offer]:
        """Yield each offer of a way in the regions that are allowed, with its second region."""
        if way.tier is None:
            return
        if not needs_standby(self.need):
            for region in self._sold_in(way.platform):
                if self._is_allowed(region):
                    yield from self.offers.offers(self.need, way.platform, way.tier, region)
            return
        found = {
            region: self.offers.offers(self.need, way.platform, way.tier, region)
            for region in self._sold_in(way.platform)
            if self._is_allowed(region)
        }
        standby = self._standby(found)
        for offers in found.values():
            for offer in offers:
                second = standby(offer)
                yield offer if second is None else offer.model_copy(update={"standby": second})

    def _standby(self, found: Mapping[str, Sequence[Offer]]) -> Callable[[Offer], str | None]:
        """Return what finds an offer's second region: one where the same can be had."""
        selling: dict[tuple[str, str | None], list[str]] = {}
        for region, offers in found.items():
            for offer in offers:
                selling.setdefault((offer.sku, offer.processed_in), []).append(region)

        def second(offer: Offer) -> str | None:
            regions = tuple(selling[offer.sku, offer.processed_in])
            key = (offer.region, regions)
            if key not in self._seconds:
                self._seconds[key] = choose_standby(self.catalog, offer.region, regions)
            return self._seconds[key]

        return second

    def _place(self, way: Way, offer: Offer) -> Place:
        count = self.offers.count(self.need, offer)
        cost = month_cost(self.need, way.platform, offer, count, self.catalog, self.context)
        return Place(way, offer, count, self._with_transfer(cost, offer))

    def _add(self, place: Place, floor: int) -> None:
        platform = place.way.platform.name
        known = self._amount(place.cost)
        value = UNKNOWN_COST
        if known is not None:
            paid = promised(self.need, platform, known, self.context)
            value = int((known - paid) * MICRO)
        number = len(self.places)
        self.places.append(place)
        self.entries.append(Entry(number, platform, place.offer.region, floor + value))

    def _with_transfer(self, cost: MonthCost, offer: Offer) -> MonthCost:
        """Add what it costs to bring data here that lies in another region."""
        lines = tuple(
            line
            for name, data in self.need.data.items()
            if data.region is not None and data.region != offer.region
            if (line := self._transfer(name, data.region, offer.region, cost.currency)) is not None
        )
        if not lines:
            return cost
        return MonthCost.model_construct(currency=cost.currency, lines=(*cost.lines, *lines))

    def _transfer(self, name: str, origin: str, target: str, currency: str) -> CostLine | None:
        """Return what moving one of its data costs in a month; None where it costs nothing."""
        what = f"moving `{name}` from {origin} to {target}"
        if origin not in self.catalog.regions:
            # Data that is brought in from one's own machines is not charged for.
            return None
        moved = Decimal(str(self.need.moved_bytes_of(self.need.data[name]))) / _GB
        if target in self.catalog.regions:
            price = self.catalog.egress.between(origin, target)
            amount = None if price is None else moved * price.amount
            how = "" if price is None else f" x {price.amount} {price.currency}"
        else:
            price = self.catalog.egress.to_internet(origin, int(moved))
            known = price or self.catalog.egress.to_internet(_PRICED, int(moved))
            amount, how = (None, "") if known is None else (known.amount, " to the internet")
            how += "" if price is not None else f"; at the price of `{_PRICED}`"
            price = known
        if price is None or price.currency != currency:
            how = "no price of moving it is known; `plinth catalog import` states one"
            return CostLine.model_construct(what=what, amount=None, how=how)
        return CostLine.model_construct(
            what=what,
            amount=amount,
            how=f"{moved:,.0f} GB a month{how}",
            source=price.source.name,
            estimated="at the price of" in how,
        )

    def with_unplaced(self, candidate: Candidate, home: str) -> Candidate:
        """Add what it costs to bring data that lies at home, where nobody said where it lies."""
        cost = candidate.cost
        moved = unplaced_gb(self.need)
        if cost is None or not moved or candidate.offer.region == home:
            return candidate
        price = None
        if home in self.catalog.regions:
            price = self.catalog.egress.between(home, candidate.offer.region)
        if price is None or price.currency != cost.currency:
            return candidate
        line = CostLine(
            what=f"moving data from {home}, where most of it stands",
            amount=moved * price.amount,
            how=f"{moved:,.0f} GB a month x {price.amount} {price.currency}",
            source=price.source.name,
        )
        lines = (*cost.lines, line)
        return candidate.model_copy(update={"cost": cost.model_copy(update={"lines": lines})})

    def _sold_in(self, platform: Platform) -> tuple[str, ...]:
        """Return where a platform sells what is needed, looked up once for all of its ways."""
        found = self._sold.get(platform.name)
        if found is None:
            found = self._sold[platform.name] = self.offers.regions(self.need, platform)
        return found

    def _is_allowed(self, region: str) -> bool:
        found = self._allowed.get(region)
        if found is None:
            found = self._allowed[region] = not _rejects(self._in_region(region))
        return found

    def _in_region(self, region: str) -> Verdicts:
        found = self.by_region.get(region)
        if found is None:
            found = self._ask(Scope.REGION, _NO_PLATFORM, _standing_for(region, None))
            if region != NOWHERE:
                self.by_region[region] = found
        return found

    def _judged(self, place: Place) -> Verdicts:
        if place.verdicts is None:
            place.verdicts = self._ask(
                Scope.OFFER, place.way.platform, place.offer, place.count, place.cost
            )
        return place.verdicts

    def _ask(
        self,
        scope: Scope,
        platform: Platform,
        offer: Offer,
        count: int = 1,
        cost: MonthCost | None = None,
    ) -> Verdicts:
        placement = Placement(platform, offer, self.context, self.catalog, count, cost)
        need = self.need
        return {
            number: verdict
            for number, rule in _rules_of(need.function, scope)
            if (verdict := rule.ask(need, placement)) is not None
        }

    def _unknowns(self, verdicts: Verdicts) -> int:
        number = sum(each.outcome is Outcome.UNKNOWN for each in verdicts.values())
        return int(self.weights.unknown * MICRO) * number

    def _credit(self, way: Way) -> int:
        """Return what owning it, and being the guidance's default, is worth."""
        worth = self.weights.reuse if way.owned else 0.0
        if is_default(way.platform, self.need.function):
            worth += self.weights.guidance
        return int(worth * MICRO)

    def _risks_of_need(self, place: Place, limits: Sequence[Headroom]) -> Iterator[str]:
        """Yield what may go wrong for this need: limits that are too low, data that stays away."""
        for each in limits:
            if each.reachable is not None and each.reachable < each.needed:
                yield (
                    f"{each.what}: {each.needed:,g} {each.unit} are needed at the peak, "
                    f"{each.reachable:,g} are reachable"
                )
        sold = self._sold_in(place.way.platform)
        for name, data in self.need.data.items():
            if data.region in self.catalog.regions and data.region not in sold:
                yield f"as far as is known it is not sold in `{data.region}`, where `{name}` lies"
        if self.need.tool == PROMPT_FLOW and place.way.platform.name != PROMPT_FLOW:
            ends = find_facts(PROMPT_FLOW).maturity.retires
            if ends is not None:
                yield f"prompt flow, which the flow is written for, ends on {ends.isoformat()}"

    def _weight(self, place: Place, verdicts: Verdicts) -> Decimal | None:
        """Return what a place weighs alone: cost, work and what is unknown, less its credit."""
        amount = self._amount(place.cost)
        if amount is None:
            return None
        hours = 0 if place.way.owned else place.way.platform.capability.day2.total or 0
        weighed = int(hours * self.weights.hour * MICRO)
        weighed += self._unknowns(verdicts) - self._credit(place.way)
        paid = promised(self.need, place.way.platform.name, amount, self.context)
        return amount - paid + Decimal(weighed) / MICRO

    def _amount(self, cost: MonthCost) -> Decimal | None:
        return cost.amount if cost.currency == self.context.currency else None

    def _best_by_way(self, home: str | None) -> list[Place]:
        """Return the best place of every way: the cheapest feasible one, at home if it can be.

        Where none is feasible, the cheapest, so that its reasons are those of a place that counts.
        """
        by_way: dict[int, list[Entry]] = {}
        for entry in self.entries:
            by_way.setdefault(id(self.places[entry.number].way), []).append(entry)
        found = []
        for entries in by_way.values():
            entries.sort(key=lambda entry: (entry.floor, entry.region != home, entry.number))
            feasible = (entry for entry in entries if self.settle(entry) is not None)
            found.append(self.places[next(feasible, entries[0]).number])
        return found

    def _nowhere(self, way: Way, home: str | None) -> Candidate:
        """Return a way that no place was entered for, at the offer that is nearest to one."""
        sold = self._sold_in(way.platform)
        ordered = (home, *sold) if home in sold else sold
        # In a region that is allowed, so that the reasons are the platform's and not the region's.
        allowed = (each for each in ordered if self._is_allowed(each))
        region = next(allowed, ordered[0] if ordered else None)
        if region is not None and way.tier is not None:
            for offer in self.offers.offers(self.need, way.platform, way.tier, region):
                count = self.offers.count(self.need, offer)
                cost = month_cost(self.need, way.platform, offer, count, self.catalog, self.context)
                return self.candidate(Place(way, offer, count, cost))
        offer = Offer(sku=NOWHERE, region=NOWHERE, cpu=0, memory=0, tier=way.tier, available=False)
        verdicts = [way.verdicts[number] for number in sorted(way.verdicts)]
        if way.is_feasible:
            verdicts.append(not_ok("offer", self._why_nothing(way)))
        return Candidate(
            platform=way.platform.name,
            offer=offer,
            verdicts=tuple(verdicts),
            day2_hours=way.platform.capability.day2.total,
            owned=way.owned,
            blind_spots=way.platform.capability.monitoring.blind_spots,
        )

    def _why_nothing(self, way: Way) -> str:
        need = self.need
        hosted = need.model or need.base_model
        if hosted is None and way.platform.capability.tuning.models == "hosted":
            return "it tunes only models that it hosts, and the file names none"
        sells_models = way.platform.capability.control.server_choice is False
        if hosted is not None and sells_models:
            known = self.catalog.meters.models.values()
            near = None if hosted in known else nearest(hosted, known)
            meant = f"; did you mean `{near}`?" if near else ""
            return f"no price list has `{hosted}` there{meant}"
        return "it has no offer for this in any region that is allowed"

    def _order(self, candidate: Candidate) -> tuple[bool, int, bool, Decimal, str, str]:
        failing = sum(_is_no(each) for each in candidate.verdicts)
        amount = None if candidate.cost is None else candidate.cost.amount
        return (
            failing > 0,
            failing,
            amount is None,
            amount or Decimal(0),
            candidate.platform,
            candidate.offer.tier or "",
        )


def is_default(platform: Platform, function: Function) -> bool:
    """Tell whether the guidance names it as the default answer for a function."""
    return not DEFAULTS[function].isdisjoint(platform.capability.guidance.default_for or ())


def unplaced_gb(need: Need) -> Decimal:
    """Return the GB that it reads in a month of data that lies wherever home is."""
    moved = sum(need.moved_bytes_of(each) for each in need.data.values() if each.region is None)
    return Decimal(str(moved)) / _GB


def promised(need: Need, platform: str, cost: Decimal, context: Context) -> Decimal:
    """Return how much of a cost is paid anyway, as spend that was promised for the platform.

    Parts of an application have equal shares of it, so that together they never count more.
    """
    owned = context.inventory.of(platform)
    amounts = (each.committed for each in owned if each.currency == context.currency)
    whole = sum((each for each in amounts if each is not None), Decimal(0))
    return min(whole / (len(need.others) + 1), max(cost, Decimal(0)))


@cache
def _rules_of(function: Function, scope: Scope) -> tuple[tuple[int, Rule], ...]:
    """Return the rules of a scope with their numbers among all that are asked of a function."""
    return tuple(
        (number, rule) for number, rule in enumerate(RULES_OF[function]) if rule.scope is scope
    )


_NO_PLATFORM = Platform.model_construct(name=NOWHERE)


@lru_cache(maxsize=1024)
def _standing_for(region: str, tier: PriceTier | None) -> Offer:
    """Return the offer that a rule reads only the region, or only the tier of."""
    # Making it takes longer than judging it.
    return Offer.model_construct(sku=NOWHERE, region=region, cpu=0.0, memory=0, tier=tier)


def _is_no(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.NOT_OK


def _rejects(verdicts: Verdicts) -> bool:
    return any(map(_is_no, verdicts.values()))


def _risks(place: Place) -> tuple[str, ...]:
    capability, offer = place.way.platform.capability, place.offer
    found: list[str] = []
    maturity = capability.maturity
    if maturity.retires is not None:
        then = f"; its provider names {maturity.successor}" if maturity.successor else ""
        found.append(f"it ends on {maturity.retires.isoformat()}{then}")
    elif maturity.stage in ("preview", "retiring", "archived"):
        found.append(f"its stage is {maturity.stage}")
    if offer.available is None and offer.region != LOCAL and offer.cpu:
        found.append(f"whether `{offer.sku}` is sold in {offer.region} is not known")
    if offer.tier == "reserved":
        found.append("it is paid for a whole year, whether it is used or not")
    if place.cost.is_estimated:
        found.append("its price, or a part of it, is estimated")
    if capability.supply.noisy_neighbours:
        found.append("the load of others can slow it down")
    return tuple(found)
