"""Online inference: latency, throughput, bulkheads, the ladder of platforms, traffic, size."""

from __future__ import annotations

import math

from pydantic import JsonValue

from plinth.domain.application import OnlineDemand
from plinth.domain.need import Need
from plinth.domain.plan import Change, Verdict
from plinth.domain.platform import Function
from plinth.kit.units import format_duration
from plinth.planning.context import Placement
from plinth.planning.rules.ladder import machine_kept_by_hand, step_on_ladder
from plinth.planning.rules.replicas import per_instance
from plinth.planning.rules.rule import (
    Pillar,
    Rule,
    Scope,
    counted,
    not_ok,
    ok,
    set_field,
    unknown,
)

_ONLINE: frozenset[Function] = frozenset({"online"})
_ASKED: frozenset[Function] = frozenset({"online", "flow"})
_ON_NODES: frozenset[Function] = frozenset({"train", "batch", "online", "flow"})
_STRICT = frozenset({"production", "critical"})
# A budget below this is used up by one queue of somebody else's requests.
_TIGHT_S = 1.0
# More than this many times what the peak needs is no reserve any more.
_FEW = 3
_RESERVE = 4
_CUT_OFF = {"online": "time of a request", "flow": "time of a request to a flow"}


def bulkhead_kept(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether a deployment lives by itself: own version, scale and rollback, own capacity."""
    criticality = need.requirements.criticality
    if criticality not in _STRICT:
        return None
    capability = placement.platform.capability
    if _is_promised(placement):
        if _spills(need):
            spilled = "what the peak spills goes to pay-as-you-go, which others share"
            return ok("H0c", f"its units are its own; {spilled}")
        return ok("H0c", "its capacity is its own; others' load does not reach it")
    if capability.supply.noisy_neighbours and criticality == "critical":
        reason = (
            "`critical` needs capacity that others' load does not reach; here it is shared, and "
            "no throughput is promised"
        )
        return not_ok("H0c", reason, set_field(need, "requirements.criticality", "production"))
    most = capability.traffic.deployments_max
    if capability.control.server_choice:
        each = f"; up to {most} of one endpoint" if most is not None and most > 1 else ""
        if capability.supply.noisy_neighbours:
            each += "; the capacity below is shared"
        return ok("H0c", f"each deployment has a server, a scale and a version of its own{each}")
    if most is not None and most > 1:
        return ok("H0c", f"up to {most} deployments of one endpoint, each with its own version")
    if capability.supply.noisy_neighbours:
        return ok("H0c", "its capacity is shared and not promised, which `production` may bear")
    return unknown("H0c", "whether one deployment's overload reaches another is not known")


def latency_kept(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether 99 of 100 requests are answered within the latency budget."""
    budget = need.requirements.latency
    if budget is None:
        return None
    measured = _measured(need)
    if measured is None:
        return _unmeasured(need, placement, budget)
    reason = f"measured {_time(measured)}, the budget is {_time(budget)}"
    if measured <= budget:
        return ok("H8a", reason)
    return not_ok("H8a", reason, set_field(need, "requirements.latency", measured))


def _unmeasured(need: Need, placement: Placement, budget: float) -> Verdict:
    """Say what is known of a latency that nobody has measured."""
    noisy = placement.platform.capability.supply.noisy_neighbours
    measure = f"measure it and write {_path(need, 'demand.measured_latency')}"
    if _is_promised(placement) or noisy is False:
        reason = f"no other customer's load changes it; whether it keeps {_time(budget)} is unknown"
        return unknown("H8a", f"{reason}: {measure}")
    if noisy is None:
        reason = f"whether others' load changes its latency is not known; {measure}"
        return unknown("H8a", reason)
    # On a machine of one's own the others are one's own too.
    strangers = placement.platform.capability.compute.rung != "own"
    criticality = need.requirements.criticality
    if strangers and budget < _TIGHT_S and criticality in _STRICT:
        reason = (
            f"`{criticality}` within {_time(budget)} on capacity that others share and nobody "
            "promises: their load can use the budget up"
        )
        return not_ok("H8a", reason, set_field(need, "requirements.latency", None))
    return unknown("H8a", f"others' load can change its latency; {measure}")


def request_ends_in_time(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the platform lets a request last as long as its latency budget allows."""
    budget = need.requirements.latency
    if budget is None:
        return None
    name = _CUT_OFF[need.function]
    items = placement.platform.capability.limits.items or ()
    # Only what nobody raises: other platforms state it for one way of using them.
    limit = next((each for each in items if each.name == name and each.raisable is False), None)
    if limit is None:
        return None
    cut = f"a request is cut off after {limit.value:g} s"
    measured = _measured(need)
    if measured is not None:
        reason = f"{cut}; it was measured to take {_time(measured)}"
        return ok("H8a.limit", reason) if measured <= limit.value else not_ok("H8a.limit", reason)
    reason = f"{cut}; the budget lets it take {_time(budget)}"
    if budget <= limit.value:
        return ok("H8a.limit", reason)
    return not_ok("H8a.limit", reason, set_field(need, "requirements.latency", limit.value))


def throughput_promised(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether a throughput is promised, where that is required."""
    if not need.requirements.guaranteed_throughput:
        return None
    promised = _is_promised(placement)
    tier = placement.offer.tier
    if promised:
        how = f" (`{tier}`)" if tier else ""
        return ok("H8b", f"the throughput that is paid for is promised{how}")
    if promised is None:
        what = f" for `{tier}`" if tier else ""
        return unknown("H8b", f"whether a throughput is promised{what} is not known")
    who = f"`{tier}` there" if tier else "it"
    reason = f"a promised throughput is required; {who} promises none"
    return not_ok("H8b", reason, set_field(need, "requirements.guaranteed_throughput", False))


def latency_predictable(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether serving one's own model on Kubernetes makes its latency predictable."""
    if need.requirements.latency is None or need.model is not None:
        return None
    if placement.platform.capability.compute.rung != "kubernetes":
        return None
    taken_back = placement.platform.capability.supply.interruptible_tiers or ()
    if placement.offer.tier is not None and placement.offer.tier in taken_back:
        reason = (
            f"a latency of {_time(need.requirements.latency)} is asked for, and `"
            f"{placement.offer.tier}` nodes may be taken away while they answer"
        )
        return not_ok("H8c", reason, set_field(need, "requirements.latency", None))
    return ok("H8c", "nodes, batching and replicas are yours: the most predictable latency")


def base_and_burst(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the base runs on fixed throughput, and where the peaks go."""
    demand = need.demand
    if need.model is None or not isinstance(demand, OnlineDemand):
        return None
    if placement.platform.capability.control.server_choice:
        return None  # Machines: H0b says that they have no such model.
    base, peak = f"{demand.requests_per_second:g}", f"{demand.peak:g}"
    exact = "`plinth size --trace` sizes it exactly"
    guaranteed = need.requirements.guaranteed_throughput
    if _is_promised(placement):
        if demand.peak <= demand.requests_per_second:
            return ok("H10", f"a steady {base} requests a second, no peak to spill; {exact}")
        if guaranteed:
            reason = f"the units have to carry the peak of {peak} requests a second: what spills"
            return ok("H10", f"{reason} is promised by nobody; {exact}")
        reason = f"base first, {base} requests a second; the peak of {peak} spills to"
        return ok("H10", f"{reason} pay-as-you-go; {exact}")
    if placement.offer.tier != "pay-as-you-go":
        return None
    if guaranteed and placement.platform.capability.supply.throughput_guaranteed is False:
        reason = (
            f"the base of {base} requests a second must be promised; `pay-as-you-go` alone is for "
            "the burst"
        )
        return not_ok("H10", reason, set_field(need, "requirements.guaranteed_throughput", False))
    return ok("H10", f"base of {base} and peak of {peak} as they come, without units; {exact}")


def traffic_divides(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether requests can be divided between versions by percentages."""
    if not need.split:
        return None
    traffic = placement.platform.capability.traffic
    most = traffic.deployments_max
    if traffic.split is None:
        return unknown("H18a", "whether it divides requests between versions is not known")
    if traffic.split and (most is None or most > 1):
        of = f" between up to {most} deployments" if most is not None else ""
        return ok("H18a", f"it divides requests by percentages{of}")
    reason = "requests are to be divided between versions; it sends all to one"
    return not_ok("H18a", reason, set_field(need, "split", False))


def traffic_mirrors(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it mirrors as much of the traffic as is asked for."""
    wanted = need.mirror_percent
    if not wanted:
        return None
    most = placement.platform.capability.traffic.mirror_percent_max
    if most is None:
        return unknown("H18a.mirror", f"whether it mirrors {wanted} % of requests is not known")
    if wanted <= most:
        return ok("H18a.mirror", f"{wanted} % are to be mirrored, it mirrors up to {most} %")
    able = f"it mirrors at most {most} %" if most else "it mirrors nothing"
    change = set_field(need, "mirror_percent", most)
    return not_ok("H18a.mirror", f"{wanted} % are to be mirrored, {able}", change)


def nodes_apart(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the cluster has room for a node pool apart from other workloads."""
    if placement.platform.capability.compute.rung != "kubernetes" or need.model is not None:
        return None
    how = "a taint on its nodes, a toleration and a node affinity on its pods"
    have = _machines(placement)
    if have is None or need.requirements.criticality not in _STRICT:
        return ok("H19a", f"a node pool of its own keeps others out: {how}")
    each = per_instance(need, placement.offer)
    wanted = math.ceil(need.instances / each)
    machines = counted(have, "machine")
    if wanted < have:
        return ok("H19a", f"{wanted} of {machines} make a node pool of its own: {how}")
    reason = (
        f"`{need.requirements.criticality}` needs a node pool of its own, {wanted} of the "
        f"cluster's {machines}; none is left for other workloads"
    )
    return not_ok("H19a", reason, _room_for_pool(need, placement, (have - 1) * each, wanted))


def _room_for_pool(need: Need, placement: Placement, most: int, wanted: int) -> Change:
    """Return fewer instances, where that leaves a machine; else one machine more."""
    if most > 0 and need.kind != "job":
        return Change(field=need.instances_field, value=most)
    offer = placement.offer
    value: dict[str, JsonValue] = {
        "region": offer.region,
        "cpu": offer.cpu,
        "memory": offer.memory,
        "count": wanted + 1 - _owned_machines(placement),
    }
    return Change(field=placement.platform.name, value=value, of_inventory=True)


def right_sized(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether there are about as many replicas as the measured baseline asks for."""
    demand = need.demand
    if need.model is not None or not isinstance(demand, OnlineDemand):
        return None
    rate = demand.replica_requests_per_second
    if rate is None:
        if placement.platform.capability.compute.rung != "kubernetes":
            return None
        path = _path(need, "demand.replica_requests_per_second")
        return unknown("H19c", f"there is no baseline: measure one replica and write {path}")
    enough = max(math.ceil(demand.peak / rate), 1)
    # What has to survive a zone keeps three, however little is asked.
    least = max(enough, _FEW if need.requirements.criticality in _STRICT else 1)
    numbers = (
        f"{counted(need.instances, 'replica')} of {rate:g} requests a second, the peak is "
        f"{demand.peak:g}"
    )
    # A few more are somebody's reserve; only many are a mistake.
    if need.instances > max(least, _FEW) and need.instances * rate > _RESERVE * demand.peak:
        change = Change(field=need.instances_field, value=least)
        return not_ok("H19c", f"{numbers}: more than {_RESERVE} times too many", change)
    if need.instances < enough:
        return None  # Too few is R7's question.
    fewer = f"; {least} would do" if least < need.instances else ""
    return ok("H19c", numbers + fewer)


def _measured(need: Need) -> float | None:
    demand = need.demand
    return demand.measured_latency if isinstance(demand, OnlineDemand) else None


def _spills(need: Need) -> bool:
    """Tell whether a peak above the units of a hosted model goes to what others share."""
    demand = need.demand
    if need.model is None or not isinstance(demand, OnlineDemand):
        return False
    return not need.requirements.guaranteed_throughput and demand.peak > demand.requests_per_second


def _is_promised(placement: Placement) -> bool | None:
    """Return whether a throughput that is paid for is promised; None: unknown."""
    if placement.offer.tier == "provisioned":
        return True
    return placement.platform.capability.supply.throughput_guaranteed


def _machines(placement: Placement) -> int | None:
    """Return how many machines the cluster has; None where more can be had, or nobody said."""
    if placement.offer.count is None:
        return None
    return max(_owned_machines(placement), placement.offer.count)


def _owned_machines(placement: Placement) -> int:
    owned = placement.context.inventory.of(placement.platform.name)
    here = (each for each in owned if each.region in (None, placement.offer.region))
    return sum(each.count or 0 for each in here)


def _time(seconds: float) -> str:
    """Write a latency: milliseconds below a second."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:g} s" if seconds < 60 else format_duration(seconds)


def _path(need: Need, path: str) -> str:
    """Write where in the file something is said; an endpoint's file cannot say it."""
    return f"`{need.at(path)}`" if need.kind == "application" else "it in an application's file"


ONLINE: tuple[Rule, ...] = (
    Rule("H0c", Pillar.RELIABILITY, Scope.WAY, bulkhead_kept, _ONLINE),
    Rule("H8a", Pillar.PERFORMANCE, Scope.WAY, latency_kept, _ASKED),
    Rule("H8a.limit", Pillar.PERFORMANCE, Scope.WAY, request_ends_in_time, _ASKED),
    Rule("H8b", Pillar.PERFORMANCE, Scope.WAY, throughput_promised, _ASKED),
    Rule("H8c", Pillar.PERFORMANCE, Scope.WAY, latency_predictable, _ONLINE),
    Rule("H10", Pillar.COST, Scope.WAY, base_and_burst, _ONLINE),
    Rule("H16.step", Pillar.OPERATIONS, Scope.WAY, step_on_ladder, _ONLINE),
    Rule("H18a", Pillar.OPERATIONS, Scope.WAY, traffic_divides, _ONLINE),
    Rule("H18a.mirror", Pillar.OPERATIONS, Scope.WAY, traffic_mirrors, _ONLINE),
    Rule("H19a", Pillar.SECURITY, Scope.OFFER, nodes_apart, _ON_NODES),
    Rule("H19c", Pillar.COST, Scope.WAY, right_sized, _ASKED),
    Rule("H20", Pillar.OPERATIONS, Scope.WAY, machine_kept_by_hand, _ASKED),
)
