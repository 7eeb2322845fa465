"""General: reuse, day-2 work, cost, what was measured, how much depends on it, maturity."""

from __future__ import annotations

import math
from datetime import date
from decimal import ROUND_CEILING, Decimal

from pydantic import JsonValue

from plinth.catalog.names import spelling
from plinth.domain.application import BatchDemand, OnlineDemand, TrainDemand
from plinth.domain.need import Need
from plinth.domain.plan import Change, MonthCost, Verdict
from plinth.domain.platform import Day2, Function
from plinth.kit.units import format_duration
from plinth.planning.context import Placement
from plinth.planning.rules.replicas import per_instance, replicas_at_peak
from plinth.planning.rules.rule import Pillar, Rule, Scope, listed, not_ok, ok, set_field, unknown

_SERVING: frozenset[Function] = frozenset({"batch", "online", "flow"})
_MEASURABLE: frozenset[Function] = frozenset({"train", "batch", "online"})
_RELAXED = ("dev", "test")
_DEPENDED_ON = ("production", "critical")
_OWN = ("own-hardware",)
_MEGABYTE = 10**6
# What `domain` accepts at most for these fields.
_MOST_HOURS = 744
_MOST_REPLICAS = 1000
_MOST_BUDGET = 10**12
_CENT = Decimal("0.01")


def already_owned(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the organisation has it already, where it prefers that or has to have it."""
    platform, context = placement.platform, placement.context
    owned = context.inventory.of(platform.name)
    if owned:
        names = (f"`{each.name}`" + (f" in {each.region}" if each.region else "") for each in owned)
        spend = ", ".join(
            f"{each.committed:,} {each.currency} of a month are promised and paid anyway"
            for each in owned
            if each.committed is not None
        )
        return ok("R1", f"you own {', '.join(names)}: preferred" + (f"; {spend}" if spend else ""))
    if platform.name in context.startable or platform.capability.supply.tiers != _OWN:
        return None
    reason = "it runs on machines that you own, and the inventory has none for it"
    machines = _machines(need, _region(need, placement))
    change = Change(field=platform.name, value=machines, of_inventory=True)
    return not_ok("R1", reason, change)


def _region(need: Need, placement: Placement) -> str | None:
    """Return where machines would have to stand: at the data, else where the file allows it."""
    wanted, context = need.requirements, placement.context
    at_data = {data.region for data in need.data.values() if data.region is not None}
    if len(at_data) == 1:
        return at_data.pop()
    name = wanted.residency or next(iter(wanted.regions), None)
    if name is not None:
        return placement.catalog.regions.groups.get(name, (name,))[0]
    standing = (each.region for each in context.inventory.owned if each.region is not None)
    return next(iter(context.allowed_regions), None) or next(standing, None)


def _machines(need: Need, region: str | None) -> dict[str, JsonValue]:
    """Return what would have to be owned for the need to fit on it."""
    wanted = need.resources
    found: dict[str, JsonValue] = {}
    if region is not None:
        found["region"] = region
    found["cpu"] = int(wanted.cpu) if wanted.cpu == int(wanted.cpu) else wanted.cpu
    found["memory"] = f"{math.ceil(wanted.memory / _MEGABYTE)}MB"
    if wanted.accelerator is not None:
        found["accelerator"] = f"{wanted.accelerator.kind}:{wanted.accelerator.count}"
    # One more than it needs: for everything else that runs there, and for the day when one fails.
    found["count"] = need.instances + 1
    return found


def work_bearable(need: Need, placement: Placement) -> Verdict | None:
    """Tell how many hours of a person's work it takes in a month, and whether that is too much."""
    most, day2 = need.requirements.day2_hours, placement.platform.capability.day2
    if most is None and need.demand is None:
        return None
    total = day2.total
    if total is None:
        if most is None:
            return None
        how = "`plinth catalog import` states them (kind: day2-hours)"
        return unknown("R3", f"at most {most:g} h of work a month; its hours are not known, {how}")
    reason = f"{total:g} h of work a month ({_tasks(day2)})"
    if most is None:
        return ok("R3", reason)
    reason += f", at most {most:g} h are wanted"
    if total <= most:
        return ok("R3", reason)
    change = set_field(need, "requirements.day2_hours", total) if total <= _MOST_HOURS else None
    return not_ok("R3", reason, change)


def _tasks(day2: Day2) -> str:
    tasks = (
        ("patching", day2.patching),
        ("upgrades", day2.upgrades),
        ("on call", day2.on_call),
        ("scaling", day2.scaling),
        ("security", day2.security),
    )
    return ", ".join(f"{name} {hours:g}" for name, hours in tasks if hours)


def measured(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether its size was measured for this, or is an estimate."""
    demand = need.demand
    if isinstance(demand, TrainDemand):
        return _measured_runs(demand, placement.offer.sku) if demand.measured else None
    if need.uses_hosted_model or placement.offer.model is not None:
        return None
    if isinstance(demand, OnlineDemand):
        return _measured_requests(need, demand, placement)
    if isinstance(demand, BatchDemand):
        return _measured_rows(need, demand)
    return None


def _measured_runs(demand: TrainDemand, sku: str) -> Verdict:
    wanted = spelling(sku)
    for size, seconds in demand.measured.items():
        if spelling(size) in (wanted, wanted.removeprefix("standard")):
            return ok("R7", f"measured: one run took {format_duration(seconds)} on `{size}`")
    return unknown("R7", f"estimated: `{sku}` was not measured, only {listed(demand.measured)}")


def _measured_requests(need: Need, demand: OnlineDemand, placement: Placement) -> Verdict:
    rate = demand.replica_requests_per_second
    if rate is None:
        field = need.at("demand.replica_requests_per_second")
        return unknown("R7", f"estimated: measure what one replica answers, then state `{field}`")
    enough = replicas_at_peak(need)
    room = placement.offer.count
    # What is bought is as many as are paid for; what is owned holds as many as there is room for.
    held = (
        placement.count if room is None else min(enough, room * per_instance(need, placement.offer))
    )
    replicas = max(need.instances, held)
    reason = (
        f"measured: {replicas} x {rate:g} requests/s are {replicas * rate:g}, "
        f"the peak has {demand.peak:g}"
    )
    if replicas * rate >= demand.peak:
        return ok("R7", reason)
    fits = enough <= _MOST_REPLICAS
    return not_ok("R7", reason, set_field(need, "replicas", enough) if fits else None)


def _measured_rows(need: Need, demand: BatchDemand) -> Verdict | None:
    if demand.rows_per_second is not None:
        return ok("R7", f"measured: one instance does {demand.rows_per_second:g} rows/s")
    if demand.duration is not None:
        return None
    field = need.at("demand.rows_per_second")
    return unknown("R7", f"estimated: measure what one instance does, then state `{field}`")


def availability_relaxed(need: Need, _placement: Placement) -> Verdict | None:
    """Tell whether it is in development, so that it needs neither zones nor a second region."""
    criticality = need.requirements.criticality
    if criticality in _RELAXED:
        return ok("E0", f"`{criticality}`: neither zones nor a second region are asked of it")
    if criticality is None and need.function == "explore":
        return ok("E0", "exploration: neither zones nor a second region are asked of it")
    return None


def within_budget(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether a month of it costs no more than the budget."""
    budget, cost = need.requirements.budget, placement.cost
    if budget is None:
        return None
    limit = f"the budget is {_money(budget.amount)} {budget.currency}"
    if cost is None:
        return unknown("E4", f"{limit}; what a month costs was not reckoned here")
    rate = _rate(cost, budget.currency, placement)
    if rate is None:
        how = "`plinth catalog import` states one (kind: exchange-rates)"
        reason = f"{limit}; no rate from {cost.currency} to {budget.currency} is known, {how}"
        return unknown("E4", reason)
    least = (cost.low or Decimal(0)) * rate
    if cost.amount is None:
        missing = listed(line.what for line in cost.lines if line.amount is None)
        if least > budget.amount:
            return not_ok("E4", f"at least {_money(least)} {budget.currency} a month; {limit}")
        return unknown("E4", f"{limit}; what {missing} costs is not known")
    amount = cost.amount * rate
    reason = f"{_money(amount)} {budget.currency} a month; {limit}"
    if amount > budget.amount:
        return not_ok("E4", reason, _larger_budget(need, amount, budget.currency))
    high = (cost.high or cost.amount) * rate
    if high > budget.amount:
        reason += f", and it may come to {_money(high)}"
    return ok("E4", reason)


def _rate(cost: MonthCost, currency: str, placement: Placement) -> Decimal | None:
    if cost.currency == currency:
        return Decimal(1)
    rate = placement.catalog.exchange.rate(cost.currency, currency)
    return None if rate is None else rate.rate


def _larger_budget(need: Need, amount: Decimal, currency: str) -> Change | None:
    whole = int(amount.to_integral_value(ROUND_CEILING))
    if whole >= _MOST_BUDGET:
        return None
    return set_field(need, "requirements.budget", f"{whole} {currency}")


def _money(amount: Decimal) -> str:
    """Write an amount; rounded up, so that what is above a budget is shown so."""
    return f"{amount.quantize(_CENT, ROUND_CEILING):,}"


def seen(need: Need, placement: Placement) -> Verdict | None:
    """Tell what can be seen of it while it runs, and what cannot."""
    criticality = need.requirements.criticality
    if need.demand is None and criticality is None:
        return None
    monitoring = placement.platform.capability.monitoring
    if monitoring.shows == () and criticality in _DEPENDED_ON:
        reason = f"`{criticality}` has to be watched, and nothing of it can be seen"
        return not_ok("H7", reason, set_field(need, "requirements.criticality", "test"))
    if monitoring.blind_spots is None:
        return unknown("H7", "what cannot be seen of it is not known; state its `blind_spots`")
    if not monitoring.blind_spots:
        return ok("H7", "no blind spot of it is known")
    return ok("H7", f"not to be seen: {'; '.join(monitoring.blind_spots)}")


def lasting(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether one should still begin with it."""
    maturity = placement.platform.capability.maturity
    successor = f"; its provider names {maturity.successor}" if maturity.successor else ""
    if maturity.stage == "archived":
        return not_ok("maturity", f"it is archived: nobody maintains it any more{successor}")
    if maturity.retires is not None:
        return _retires(maturity.retires, placement.context.today, successor)
    if maturity.stage == "preview":
        return _preview(need)
    if maturity.stage == "retiring":
        return ok("maturity", f"a risk: it is being retired, on a day that is not known{successor}")
    if maturity.stage is None and need.demand is not None:
        return unknown("maturity", "whether it is generally available is not known")
    return None


def _retires(day: date, today: date | None, successor: str) -> Verdict:
    if today is None:
        return ok("maturity", f"a risk: it ends on {day.isoformat()}{successor}")
    left = (day - today).days
    if left <= 0:
        return not_ok("maturity", f"it ended on {day.isoformat()}{successor}")
    return ok("maturity", f"a risk: it ends on {day.isoformat()}, in {left} days{successor}")


def _preview(need: Need) -> Verdict:
    criticality = need.requirements.criticality
    if criticality in _DEPENDED_ON:
        reason = f"it is a preview, without any promise, and this is `{criticality}`"
        return not_ok("maturity", reason, set_field(need, "requirements.criticality", "test"))
    return ok("maturity", "a risk: it is a preview, without any promise")


def commitment_accepted(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether a year may be paid for whether it is used or not, where it is reserved."""
    if placement.offer.tier != "reserved":
        return None
    if need.requirements.commitment:
        return ok("commitment", "the file accepts a commitment for a year")
    reason = "a reservation is paid for a whole year, used or not, and the file accepts none"
    return not_ok("commitment", reason, set_field(need, "requirements.commitment", True))


GENERAL: tuple[Rule, ...] = (
    Rule("R1", Pillar.OPERATIONS, Scope.WAY, already_owned),
    Rule("R3", Pillar.OPERATIONS, Scope.WAY, work_bearable),
    Rule("E0", Pillar.RELIABILITY, Scope.WAY, availability_relaxed),
    Rule("R7", Pillar.PERFORMANCE, Scope.OFFER, measured, _MEASURABLE),
    Rule("E4", Pillar.COST, Scope.OFFER, within_budget),
    Rule("H7", Pillar.OPERATIONS, Scope.WAY, seen, _SERVING),
    Rule("maturity", Pillar.OPERATIONS, Scope.WAY, lasting),
    Rule("commitment", Pillar.COST, Scope.WAY, commitment_accepted),
)
