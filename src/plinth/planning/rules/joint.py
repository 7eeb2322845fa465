"""Verdicts on a whole choice: what joins its parts, what keeps them apart, what that costs.

They are shown under the plan's table and reject nothing: the choice was made. `not ok` says that
another choice, or a change of the file, would serve better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from itertools import combinations

from plinth.catalog.catalog import Catalog
from plinth.catalog.platforms import PlatformFacts, find_facts, platform_names, system_of
from plinth.domain.need import Need
from plinth.domain.plan import Candidate, Change, Headroom, MonthCost, Outcome, PartPlan, Verdict
from plinth.domain.requirements import Budget
from plinth.planning.capacity import Load, shared_rooms
from plinth.planning.context import Context
from plinth.planning.rules.place import UNSTATED
from plinth.planning.rules.replicas import per_instance, replicas_at_peak
from plinth.planning.rules.rule import listed, not_ok, ok, set_field, unknown
from plinth.planning.rules.tuned_model import is_closed

_GB = Decimal(10**9)
_OWN = "own-hardware"
_UNITS = ("provisioned", "reserved")
# What one region's quota counts for all parts together.
_COUNTED = frozenset({"processors", "accelerators", "units"})
# How people call a system that has several platforms.
_NAMES = {
    "azureml": "Azure Machine Learning",
    "azure-openai": "Azure OpenAI",
    "databricks": "Databricks",
}


@dataclass(frozen=True, slots=True)
class Placed:
    """One part that has a place: what it needs, all that was judged, and what was chosen."""

    need: Need
    part: PartPlan
    chosen: Candidate

    @property
    def region(self) -> str:
        """The region where it stands."""
        return self.chosen.offer.region

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every candidate of the part."""
        return (self.chosen, *self.part.rejected)


def joint_verdicts(
    needs: tuple[Need, ...], parts: tuple[PartPlan, ...], catalog: Catalog, context: Context
) -> tuple[Verdict, ...]:
    """Judge the parts of an application together; a part without a place is left out.

    `needs` and `parts` are in the same order.
    """
    placed = [
        Placed(need, part, part.chosen)
        for need, part in zip(needs, parts, strict=True)
        if part.chosen is not None
    ]
    by_name = {each.need.name: each for each in placed}
    return (
        *_one_training_platform(by_name, context),
        *_handed_over(placed),
        *_tuned_and_served(by_name, catalog),
        *_apart(placed, catalog),
        *_isolated(by_name, context),
        *_machines_shared(placed),
        *_quotas_shared(placed),
    )


def _one_training_platform(placed: Mapping[str, Placed], context: Context) -> Iterator[Verdict]:
    """Say whether training and tuning share a platform, and what forced them apart (T0c)."""
    train, tune = placed.get("train"), placed.get("tune")
    if train is None or tune is None:
        return
    here, there = train.chosen.platform, tune.chosen.platform
    if here == there:
        yield ok("T0c", f"`train` and `tune` share `{here}`")
        return
    if system_of(here) == system_of(there):
        name = _NAMES.get(system_of(here), system_of(here))
        yield ok("T0c", f"`train` and `tune` share {name}, on `{here}` and `{there}`")
        return
    common = sorted(_feasible(train) & _feasible(tune))
    apart = f"`train` is on `{here}`, `tune` on `{there}`"
    if common:
        owned = [each for each in common if context.inventory.of(each)]
        best = next((each for each in (*owned, here, there) if each in common), common[0])
        yield not_ok("T0c", f"{apart}; `{best}` would take both", _move(train, tune, best))
        return
    # Each has to leave the other's platform for these reasons.
    reasons = (
        f"`{there}` is not for `train` ({_rejecting(train, there)})",
        f"`{here}` is not for `tune` ({_rejecting(tune, here)})",
    )
    yield ok("T0c", f"{apart}; no platform takes both: {' and '.join(reasons)}")


def _feasible(placed: Placed) -> set[str]:
    return {each.platform for each in placed.candidates if each.is_feasible}


def _rejecting(placed: Placed, platform: str) -> str:
    """Say which rules reject a platform for a part, by the candidate that fails least."""
    failing = [
        [each for each in found.verdicts if each.outcome is Outcome.NOT_OK]
        for found in placed.candidates
        if found.platform == platform
    ]
    fewest = min(failing, key=len, default=[])
    if not fewest:
        return "it was not looked at"
    return f"{', '.join(dict.fromkeys(each.rule for each in fewest))}: {fewest[0].reason}"


def _move(train: Placed, tune: Placed, platform: str) -> Change | None:
    """Return the one change that puts both on a platform; None where it would take two."""
    moving = [each for each in (train, tune) if each.chosen.platform != platform]
    if len(moving) > 1:
        return None
    return set_field(moving[0].need, "requirements.platform", platform)


def _handed_over(placed: Sequence[Placed]) -> Iterator[Verdict]:
    """Say how parts on different platforms share data (T3)."""
    for one, other in combinations(placed, 2):
        shared = [name for name in one.need.data if name in other.need.data]
        here, there = one.chosen.platform, other.chosen.platform
        if not shared or system_of(here) == system_of(there):
            continue
        names = f"`{one.need.name}` on `{here}` and `{other.need.name}` on `{there}`"
        private = [
            each.need.name for each in (one, other) if each.need.requirements.private_network
        ]
        if not private:
            yield ok("T3", f"{names} share {listed(shared)}: hand it over by version")
            continue
        reach = {each: _has_private_address(each) for each in (here, there)}
        asked = f"{names} share {listed(shared)}; {listed(private)} asks for private addresses"
        closed = [each for each, reached in reach.items() if reached is False]
        unclear = [each for each, reached in reach.items() if reached is None]
        if closed:
            yield not_ok("T3", f"{asked}, which {listed(closed)} does not have")
        elif unclear:
            yield unknown("T3", f"{asked}; whether {listed(unclear)} has them is not known")
        else:
            yield ok("T3", f"{asked}, which both have: hand it over by version")


def _has_private_address(platform: str) -> bool | None:
    """Tell whether it can be reached from, or stand in, a private network; None: unknown."""
    facts = _facts(platform)
    if facts is None:
        return None
    network = facts.network
    ways = (network.private_endpoint, network.own_network, network.managed_network)
    if any(ways):
        return True
    return False if all(each is False for each in ways) else None


def _tuned_and_served(placed: Mapping[str, Placed], catalog: Catalog) -> Iterator[Verdict]:
    """Say whether the model that is tuned can be the one that is served (T6)."""
    tune = placed.get("tune")
    base = None if tune is None else tune.need.base_model
    if tune is None or base is None:
        return
    for name in ("batch", "online"):
        serve = placed.get(name)
        # What is no model, like a program for Spark, is not what was tuned.
        if serve is not None and (serve.need.model or serve.need.format):
            found = _served(tune, base, serve, catalog)
            if found is not None:
                yield found


def _served(tune: Placed, base: str, serve: Placed, catalog: Catalog) -> Verdict | None:
    where, part = tune.chosen.platform, serve.need.name
    facts = _facts(where)
    if facts is None or facts.tuning.models is None:
        return unknown("T6", f"whether `{where}` hands out the weights that it tunes is not known")
    hosted = facts.tuning.models == "hosted"
    model = serve.need.model
    if model is None and hosted:
        reason = (
            f"`{where}` keeps the weights of the tuned `{base}`, and `{part}` serves a model of "
            f"your own; serve `{base}` from its provider, or tune a model whose weights you have"
        )
        return not_ok("T6", reason)
    if model is None:
        return ok("T6", f"`{part}` serves the weights of `{base}` that `{where}` tunes")
    if model != base:
        change = set_field(tune.need, "base_model", model)
        return not_ok("T6", f"`{base}` is tuned, and `{part}` serves `{model}`", change)
    if not hosted:
        reason = (
            f"`{where}` tunes the weights of `{base}`, and `{part}` serves the provider's own, "
            f"untuned; state `{serve.need.at('format')}`, or tune where it is hosted"
        )
        return None if is_closed(base, catalog) else not_ok("T6", reason)
    return _limited(facts, base, part)


def _limited(facts: PlatformFacts, base: str, part: str) -> Verdict:
    """Say what is given up by tuning where the model is hosted."""
    methods = facts.tuning.methods or ()
    everywhere = ("full", "lora", "preference", "reinforcement")
    lost = [each for each in everywhere if each not in methods]
    text = f"`{base}` is tuned where it is hosted, for `{part}`: by {listed(methods)}"
    if lost:
        text += f"; {listed(lost)} would need a model whose weights you have"
    return ok("T6", text)


def _apart(placed: Sequence[Placed], catalog: Catalog) -> Iterator[Verdict]:
    """Say which parts and data stand in different regions, how far, and what that costs (R5)."""
    edges = [*_data_edges(placed, catalog), *_part_edges(placed, catalog)]
    yield from edges
    regions = {each.region for each in placed}
    if not edges and len(placed) > 1 and len(regions) == 1:
        lying = {name: data.region for each in placed for name, data in each.need.data.items()}
        is_known = lying and None not in lying.values()
        more = f", with {listed(sorted(lying))}" if is_known else ""
        yield ok("R5", f"all {len(placed)} parts stand in `{placed[0].region}`{more}")


def _data_edges(placed: Sequence[Placed], catalog: Catalog) -> Iterator[Verdict]:
    for each in placed:
        for name, data in each.need.data.items():
            if data.region is None or data.region == each.region:
                continue
            moved = Decimal(str(each.need.moved_bytes_of(data))) / _GB
            far = _distance(catalog, data.region, each.region)
            cost = _price(catalog, data.region, each.region, moved)
            yield not_ok(
                "R5",
                f"`{each.need.name}` in `{each.region}` reads `{name}` in `{data.region}`, {far}: "
                f"{moved:,.0f} GB a month, {cost}",
            )


def _part_edges(placed: Sequence[Placed], catalog: Catalog) -> Iterator[Verdict]:
    for one, other in combinations(placed, 2):
        if one.region == other.region:
            continue
        far = _distance(catalog, one.region, other.region)
        names = f"`{one.need.name}` in `{one.region}` and `{other.need.name}` in `{other.region}`"
        rate = _price(catalog, one.region, other.region, Decimal(1))
        yield not_ok("R5", f"{names}, {far}: each GB between them {rate}")


def _distance(catalog: Catalog, one: str, other: str) -> str:
    regions = catalog.regions
    far = regions.distance_km(one, other) if one in regions and other in regions else None
    return "at a distance that is not known" if far is None else f"{far:,.0f} km apart"


def _price(catalog: Catalog, origin: str, target: str, gigabytes: Decimal) -> str:
    known = origin in catalog.regions and target in catalog.regions
    price = catalog.egress.between(origin, target) if known else None
    if price is None:
        return "at a price that is not known"
    return f"{price.amount * gigabytes:,.2f} {price.currency}"


def _isolated(placed: Mapping[str, Placed], context: Context) -> Iterator[Verdict]:
    """Say whether parts that must not share compute have compute of their own (H0c)."""
    for one in placed.values():
        for name in one.need.requirements.isolate_from:
            other = placed.get(name)
            if other is not None:
                yield _pools(one, other, context)


def _pools(one: Placed, other: Placed, context: Context) -> Verdict:
    asked = f"`{one.need.name}` must not share compute with `{other.need.name}`"
    here, there = one.chosen, other.chosen
    if here.platform != there.platform:
        return ok("H0c", f"{asked}: they are on `{here.platform}` and on `{there.platform}`")
    if one.region != other.region:
        return ok("H0c", f"{asked}: they are in `{one.region}` and in `{other.region}`")
    where = f"both are on `{here.platform}` in `{one.region}`"
    facts = _facts(here.platform)
    if facts is not None and facts.regions.processed_in == ("machine",):
        return not_ok("H0c", f"{asked}, and {where}, one machine")
    if here.offer.model is not None and there.offer.model is not None:
        return _of_models(one, other, f"{asked}; {where}")
    if _is_owned(one, other):
        return _of_owned(one, other, f"{asked}; {where}", context)
    if facts is not None and facts.compute.rung == "serverless":
        return ok("H0c", f"{asked}; {where}, where each job has machines of its own")
    if facts is not None and facts.compute.rung == "managed":
        return ok("H0c", f"{asked}; {where}, where each has instances of its own")
    if here.offer.sku != there.offer.sku:
        sizes = f"`{here.offer.sku}` and `{there.offer.sku}`"
        return ok("H0c", f"{asked}; {where}, on pools of different sizes: {sizes}")
    return not_ok(
        "H0c", f"{asked}, and {where}, on machines of one size: give each a pool of its own"
    )


def _of_models(one: Placed, other: Placed, said: str) -> Verdict:
    """Judge two parts whose models one provider hosts: only units keep them apart (R2.apart)."""
    here, there = one.chosen.offer, other.chosen.offer
    if here.tier in _UNITS and there.tier in _UNITS:
        return ok("H0c", f"{said}, with units of its own for each")
    if here.model == there.model:
        return not_ok("H0c", f"{said}, with the same `{here.model}`")
    return not_ok("H0c", f"{said}, and its provider shares the compute between all that use it")


def _is_owned(one: Placed, other: Placed) -> bool:
    return all(each.chosen.offer.tier == _OWN for each in (one, other))


def _of_owned(one: Placed, other: Placed, said: str, context: Context) -> Verdict:
    """Judge two parts on machines that are owned: each needs whole ones for itself."""
    standing = [
        each.count
        for each in context.inventory.of(one.chosen.platform)
        if (each.region or UNSTATED) == one.region
    ]
    needed = machines_needed(one) + machines_needed(other)
    machines = f"{needed} machines of their own are needed"
    if not standing or None in standing:
        count = "how many there are is not stated, `plinth inventory add` says it with `--count`"
        return unknown("H0c", f"{said}; {machines}, and {count}")
    has = sum(each or 0 for each in standing)
    if needed <= has:
        return ok("H0c", f"{said}; {machines}, {has} are owned")
    owned = "1 is owned" if has == 1 else f"{has} are owned"
    return not_ok("H0c", f"{said}; {machines}, {owned}")


def machines_needed(placed: Placed) -> int:
    """Return how many whole machines a part fills on what is owned."""
    need = placed.need
    replicas = max(need.instances, replicas_at_peak(need))
    return math.ceil(replicas / per_instance(need, placed.chosen.offer))


def _facts(platform: str) -> PlatformFacts | None:
    return find_facts(platform) if platform in platform_names() else None


def _machines_shared(placed: Sequence[Placed]) -> Iterator[Verdict]:
    """Say what parts need together of machines that are owned (R4): the choice keeps to it."""
    loads = (
        Load(part, each.need, each.chosen.platform, each.chosen.offer, each.chosen.count)
        for part, each in enumerate(placed)
    )
    for room in shared_rooms(loads):
        cores, has = room.needed["cores"], room.has["cores"]
        said = f"{listed(room.names)} need {cores:g} cores of your `{room.platform}` at once"
        reason = f"{said}, it has {has:g}"
        yield not_ok("R4", reason) if room.short else ok("R4", reason)


def _quotas_shared(placed: Sequence[Placed]) -> Iterator[Verdict]:
    """Say where parts together need more of a region's quota than is reachable (R4)."""
    shared: dict[tuple[str, str], list[tuple[str, Headroom]]] = {}
    for each in placed:
        for limit in each.chosen.headroom:
            if limit.reachable is not None and limit.unit in _COUNTED:
                key = (each.region, limit.what)
                shared.setdefault(key, []).append((each.need.name, limit))
    for (region, what), found in sorted(shared.items()):
        needed = sum(limit.needed for _, limit in found)
        reachable = min(limit.reachable or 0 for _, limit in found)
        if len(found) > 1 and needed > reachable:
            names = listed(name for name, _ in found)
            unit = found[0][1].unit
            said = f"{names} need {needed:,g} {unit} ({what}) in `{region}` together"
            yield not_ok("R4", f"{said}, {reachable:,g} are reachable")


def exceeds(cost: MonthCost, budget: Budget) -> bool:
    """Tell whether what is known of a month's cost is above a budget of the same currency."""
    return _known(cost) > budget.amount


def within_budget(cost: MonthCost, budget: Budget, aside: str = "") -> Verdict:
    """Judge all parts together by the budget that the application has as a whole (E4).

    `aside`: what else there is to say of a choice that keeps to it.
    """
    limit = f"the budget is {budget.amount:,} {budget.currency}"
    amount = _known(cost).quantize(Decimal("0.01"), ROUND_CEILING)
    if exceeds(cost, budget):
        whole = int(amount.to_integral_value(ROUND_CEILING))
        change = Change(field="requirements.budget", value=f"{whole} {budget.currency}")
        return not_ok("E4", f"all parts cost {amount:,} a month, {limit}", change)
    if cost.amount is None:
        return unknown("E4", f"what is known costs {amount:,} a month, {limit}")
    return ok("E4", f"all parts cost {amount:,} a month, {limit}{aside}")


def _known(cost: MonthCost) -> Decimal:
    return cost.amount if cost.amount is not None else cost.low or Decimal(0)
