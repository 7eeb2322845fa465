"""What every plan asks first: can it at all, is it asked for, is it large enough.

They are asked before each start too, so they read no catalog.
"""

from __future__ import annotations

import math
from functools import lru_cache

from pydantic import JsonValue

from plinth.catalog.machine import LOCAL
from plinth.domain.application import HOURS_PER_MONTH, BatchDemand, TrainDemand
from plinth.domain.inventory import Owned
from plinth.domain.mistake import nearest_name
from plinth.domain.need import Need
from plinth.domain.plan import Change, Verdict
from plinth.kit.units import format_bytes
from plinth.planning.context import Placement
from plinth.planning.rules.replicas import per_instance, replicas_at_peak
from plinth.planning.rules.rule import (
    Pillar,
    Rule,
    Scope,
    counted,
    listed,
    not_ok,
    ok,
    set_field,
    unknown,
)

# What stands for a region where nobody said it, or where a provider does not say.
NO_REGION = frozenset({"anywhere", "unstated"})


def function_supported(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the platform does this function at all."""
    function = need.function
    functions = placement.platform.capability.functions
    if function in functions:
        return ok("G2", f"does `{function}`")
    done = listed(functions) or "nothing yet"
    return not_ok("G2", f"needs the function `{function}`; it does {done}")


def platform_chosen(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it is the platform that was asked for by name."""
    wanted = need.requirements.platform
    if wanted is None:
        return None
    if wanted == placement.platform.name:
        return ok("platform", f"`{wanted}` was asked for")
    change = set_field(need, "requirements.platform", placement.platform.name)
    known = placement.context.known_platforms
    reason = f"`{wanted}` was asked for"
    if wanted in known:
        reason += "; Plinth knows it and cannot run anything there yet"
    elif known:
        near = nearest_name(wanted, known)
        reason += "; no platform has that name" + (f", the nearest is `{near}`" if near else "")
    return not_ok("platform", reason, change)


def cpu_fits(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether one instance has the processor cores that one replica needs."""
    needed, offered = need.resources.cpu, placement.offer.cpu
    if placement.offer.model is not None:
        return None
    owned = _unstated(placement)
    if owned is not None and owned.cpu is None:
        return unknown("cpu", f"needs {counted(needed, 'core', 'g')}; {_not_stated(owned, 'cpu')}")
    digits = "g" if f"{needed:g}" != f"{offered:g}" or needed == offered else ""
    numbers = f"needs {counted(needed, 'core', digits)}, has {offered:{digits}}"
    if needed <= offered:
        return ok("cpu", numbers)
    # Rounded down, so that what the remedy says does fit.
    most = math.floor(offered * 100) / 100
    return not_ok("cpu", numbers, set_field(need, "resources.cpu", most) if most > 0 else None)


def memory_fits(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether one instance has the memory that one replica needs."""
    needed, offered = need.resources.memory, placement.offer.memory
    if placement.offer.model is not None:
        return None
    owned = _unstated(placement)
    if owned is not None and owned.memory is None:
        return unknown("memory", f"needs {format_bytes(needed)}; {_not_stated(owned, 'memory')}")
    numbers = f"needs {format_bytes(needed)}, has {format_bytes(offered)}"
    if needed <= offered:
        return ok("memory", numbers)
    if format_bytes(needed) == format_bytes(offered):
        numbers = f"needs {needed} bytes, has {offered}"
    most = f"{offered // 10**6}MB" if offered >= 10**6 else offered
    return not_ok(
        "memory", numbers, set_field(need, "resources.memory", most) if offered > 0 else None
    )


def _unstated(placement: Placement) -> Owned | None:
    """Return the thing of the inventory that the offer is, if its size was not stated whole."""
    offer, name = placement.offer, placement.platform.name
    if offer.tier != "own-hardware" or name == LOCAL:
        return None
    owned = (each for each in placement.context.inventory.of(name) if each.name == offer.sku)
    return next((each for each in owned if each.cpu is None or each.memory is None), None)


def _not_stated(owned: Owned, field: str) -> str:
    return f"what `{owned.name}` has is not stated; `plinth inventory add` says it with `--{field}`"


def replicas_fit(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether there is room for all replicas, several to an instance where they fit."""
    offer = placement.offer
    if need.kind in ("job", "batch") or offer.count is None or offer.model is not None:
        return None
    room = per_instance(need, offer) * offer.count
    noun = "replica" if need.function in ("online", "flow") else "instance"
    at_peak = replicas_at_peak(need)
    if at_peak > need.instances:
        reason = f"the peak needs {counted(at_peak, noun)}, has room for {room}"
        # How many are asked for is not the reason, so fewer of them change nothing.
        return ok("replicas", reason) if at_peak <= room else not_ok("replicas", reason)
    reason = f"needs {counted(need.instances, noun)}, has room for {room}"
    if need.instances <= room:
        return ok("replicas", reason)
    fits = room > 0 and at_peak <= room
    return not_ok(
        "replicas", reason, Change(field=need.instances_field, value=room) if fits else None
    )


def month_long_enough(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether a month is long enough for all runs, on as many machines as there are."""
    offer, demand = placement.offer, need.demand
    if offer.count is None or not isinstance(demand, TrainDemand | BatchDemand):
        return None
    busy = need.busy_hours
    if busy is None or busy <= HOURS_PER_MONTH:
        return None
    fitting = per_instance(need, offer)
    machines = math.ceil(need.instances * math.ceil(busy / HOURS_PER_MONTH) / fitting)
    reason = (
        f"its runs take {busy:,.0f} hours of a month that has {HOURS_PER_MONTH}; that needs "
        f"{counted(machines, 'machine')}, there is room on {offer.count}"
    )
    if machines <= offer.count:
        return ok("month", reason)
    at_once = fitting * offer.count // need.instances
    runs = math.floor(demand.runs * at_once * HOURS_PER_MONTH / busy * 100) / 100
    change = set_field(need, "demand.runs", runs) if runs > 0 else None
    return not_ok("month", reason, change)


def accelerator_present(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it has the accelerators that one replica needs."""
    wanted = need.resources.accelerator
    if wanted is None:
        return None
    if placement.offer.model is not None:
        return None
    has_itself = placement.offer.accelerator
    items = (has_itself,) if has_itself else placement.platform.capability.accelerators
    counts = {item.kind: item.count for item in items}
    available = counts.get(wanted.kind, 0)
    if wanted.count <= available:
        return ok("accelerator", f"needs {wanted.count} x {wanted.kind}, has {available}")
    if available:
        change = set_field(need, "resources.accelerator", f"{wanted.kind}:{available}")
        reason = f"needs {wanted.count} x {wanted.kind}, has {available}"
        return not_ok("accelerator", reason, change)
    has = listed(tuple(f"{count} x {kind}" for kind, count in sorted(counts.items())))
    reason = f"needs {wanted.count} x {wanted.kind}, has {has or 'no accelerator'}"
    if not has and placement.platform.capability.compute.gpu and placement.offer.tier is not None:
        reason = (
            f"needs {wanted.count} x {wanted.kind}; no size with it is known here, and "
            "`plinth catalog import` (kind: skus) states one"
        )
    return not_ok("accelerator", reason, set_field(need, "resources.accelerator", None))


def isolation_reachable(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it keeps the workload apart from all else as far as is required."""
    wanted = need.requirements.isolation
    if wanted is None:
        return None
    offered = placement.platform.capability.isolation
    if offered is None:
        return unknown("R2.isolation", f"level {wanted} is required; its level is not known")
    reason = f"level {wanted} is required, it offers {offered}"
    if wanted <= offered:
        return ok("R2.isolation", reason)
    return not_ok("R2.isolation", reason, set_field(need, "requirements.isolation", offered))


def region_required(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it is in a region that the workload's file allows."""
    regions = need.requirements.regions
    if not regions:
        return None
    if placement.offer.region in regions:
        return ok("R2.regions", f"`{placement.offer.region}` is required or allowed")
    own = _own_region(placement)
    where = own or placement.offer.region
    if own in regions:
        return ok("R2.regions", f"this machine stands in `{own}`")
    for name in regions:
        # A group's name is read only where no region of the file is the one.
        if where in placement.catalog.regions.groups.get(name, ()):
            return ok("R2.regions", f"`{where}` is in `{name}`")
    return _not_required(need.at("requirements.regions"), where, regions)


@lru_cache(maxsize=4096)
def _not_required(path: str, where: str, regions: tuple[str, ...]) -> Verdict:
    # Of most workloads it is said of most regions, again and again.
    reason = f"it is in `{where}`; the file allows {listed(regions)}"
    wider: list[JsonValue] = [] if where in NO_REGION else [*regions, where]
    return not_ok("R2.regions", reason, Change(field=path, value=wider))


def region_allowed(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it is in a region that the team may use."""
    regions = placement.context.allowed_regions
    if not regions:
        return None
    team = f"the team `{need.team}`" if need.team else "the team"
    if placement.offer.region in regions:
        return ok("R2.policy", f"{team} may use `{placement.offer.region}`")
    own = _own_region(placement)
    where = own or placement.offer.region
    if own in regions:
        return ok("R2.policy", f"this machine stands in `{own}`, which {team} may use")
    for name in regions:
        # A group's name is read only where no region is the one.
        if where in placement.catalog.regions.groups.get(name, ()):
            return ok("R2.policy", f"{team} may use `{name}`, which `{where}` is in")
    reason = f"it is in `{where}`; {team} may use {listed(regions)}"
    return not_ok("R2.policy", reason)


def _own_region(placement: Placement) -> str | None:
    """Return where this machine stands, as only its owner can say; None: another, or unsaid."""
    if placement.offer.region != LOCAL:
        return None
    return placement.context.inventory.region_of(LOCAL)


def interruption_bearable(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the workload bears that its capacity may be taken back (spot)."""
    if need.requirements.interruptible:
        return ok("T5b", "the workload may be interrupted")
    taken_back = taken_back_at_any_time(placement)
    if taken_back is None:
        return unknown("T5b", "whether it takes capacity back at any time is not known")
    if not taken_back:
        return ok("T5b", "it does not take capacity back")
    reason = "it may take its capacity back at any time, and the workload may not be interrupted"
    return not_ok("T5b", reason, set_field(need, "requirements.interruptible", True))


def taken_back_at_any_time(placement: Placement) -> bool | None:
    """Return whether the offer's tier may be taken back; None: unknown."""
    capability = placement.platform.capability
    tiers, tier = capability.supply.interruptible_tiers, placement.offer.tier
    if tier is not None and tiers is not None:
        return tier in tiers
    return True if tier == "spot" else capability.interruptible


def scale_to_zero_supported(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether nothing runs while nobody asks, where that is required."""
    if not need.requirements.scale_to_zero:
        return None
    if need.function == "train":
        return ok("H1b", "a job leaves nothing running when it ends")
    if need.sleeps:
        return ok("H1b", "its workers end while nobody asks, and the first request starts one")
    able = placement.platform.capability.scale_to_zero
    if able is None:
        return unknown("H1b", "whether it scales to zero is not known")
    if able:
        return ok("H1b", "it scales to zero")
    reason = "scale to zero is required, and it keeps every replica running"
    return not_ok("H1b", reason, set_field(need, "requirements.scale_to_zero", False))


def network_held(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it can hold a job to the network that the file asks for."""
    if need.network is None:
        return None
    networks = placement.platform.capability.networks
    wanted = need.network
    if networks is None:
        return unknown("network", f"whether it can hold a job to `{wanted}` is not known")
    if wanted in networks:
        return ok("network", f"it can hold a job to `{wanted}`")
    offered = next(iter(networks), None)
    reason = f"the network `{wanted}` is asked for; it offers {listed(networks) or 'none'}"
    return not_ok("network", reason, set_field(need, "network", offered) if offered else None)


# In the order in which people read them: can it at all, is it allowed, is it large enough.
BASIC: tuple[Rule, ...] = (
    Rule("G2", Pillar.OPERATIONS, Scope.WAY, function_supported),
    Rule("platform", Pillar.OPERATIONS, Scope.WAY, platform_chosen),
    Rule("R2.regions", Pillar.SECURITY, Scope.REGION, region_required),
    Rule("R2.policy", Pillar.SECURITY, Scope.REGION, region_allowed),
    Rule("R2.isolation", Pillar.SECURITY, Scope.WAY, isolation_reachable),
    Rule("network", Pillar.SECURITY, Scope.WAY, network_held),
    Rule("accelerator", Pillar.PERFORMANCE, Scope.OFFER, accelerator_present),
    Rule("cpu", Pillar.PERFORMANCE, Scope.OFFER, cpu_fits),
    Rule("memory", Pillar.PERFORMANCE, Scope.OFFER, memory_fits),
    Rule("replicas", Pillar.RELIABILITY, Scope.OFFER, replicas_fit),
    Rule("month", Pillar.PERFORMANCE, Scope.OFFER, month_long_enough),
    Rule("T5b", Pillar.RELIABILITY, Scope.WAY, interruption_bearable),
    Rule("H1b", Pillar.COST, Scope.WAY, scale_to_zero_supported),
)
