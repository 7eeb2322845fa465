"""One small function for each question that a platform must answer for a workload.

`planner.py` asks all of them for every candidate. A rule is pure; it returns None where its
question does not arise, and `unknown` where a fact is missing, never a silent yes or no. Its
docstring is the question. `Verdict.rule` is the requirement's id (with a word after a dot where an
id has several questions) or a short name of our own.

A verdict's change is one to the workload's file that alone makes this rule say ok. There is none
where no change to the file would help.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from pydantic import JsonValue

from plinth.domain.mistake import nearest_name
from plinth.domain.plan import Change, Outcome, Verdict
from plinth.domain.workload import Endpoint, Job, Workload
from plinth.kit.units import format_bytes
from plinth.planning.context import Placement

Rule: TypeAlias = Callable[[Workload, Placement], Verdict | None]

# Which of the guidance's functions a kind of workload is.
FUNCTIONS = {"job": "train", "endpoint": "online"}


def function_supported(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether the platform does this function at all."""
    function = FUNCTIONS[workload.kind]
    functions = placement.platform.capability.functions
    if function in functions:
        return _ok("G2", f"does `{function}`")
    done = _listed(functions) or "nothing yet"
    return _not_ok("G2", f"needs the function `{function}`; it does {done}")


def platform_chosen(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether it is the platform that was asked for by name."""
    wanted = workload.requirements.platform
    if wanted is None:
        return None
    if wanted == placement.platform.name:
        return _ok("platform", f"`{wanted}` was asked for")
    change = _change("requirements.platform", placement.platform.name)
    known = placement.context.known_platforms
    reason = f"`{wanted}` was asked for"
    if wanted in known:
        reason += "; Plinth knows it and cannot run anything there yet"
    elif known:
        near = nearest_name(wanted, known)
        reason += "; no platform has that name" + (f", the nearest is `{near}`" if near else "")
    return _not_ok("platform", reason, change)


def cpu_fits(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether one instance has the processor cores that one replica needs."""
    needed, offered = workload.resources.cpu, placement.offer.cpu
    digits = "g" if f"{needed:g}" != f"{offered:g}" or needed == offered else ""
    numbers = f"needs {_counted(needed, 'core', digits)}, has {offered:{digits}}"
    if needed <= offered:
        return _ok("cpu", numbers)
    # Rounded down, so that what the remedy says does fit.
    most = math.floor(offered * 100) / 100
    return _not_ok("cpu", numbers, _change("resources.cpu", most) if most > 0 else None)


def memory_fits(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether one instance has the memory that one replica needs."""
    needed, offered = workload.resources.memory, placement.offer.memory
    numbers = f"needs {format_bytes(needed)}, has {format_bytes(offered)}"
    if needed <= offered:
        return _ok("memory", numbers)
    if format_bytes(needed) == format_bytes(offered):
        numbers = f"needs {needed} bytes, has {offered}"
    most = f"{offered // 10**6}MB" if offered >= 10**6 else offered
    return _not_ok("memory", numbers, _change("resources.memory", most) if offered > 0 else None)


def replicas_fit(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether there is room for all replicas, several to an instance where they fit."""
    offer = placement.offer
    if isinstance(workload, Job) or offer.count is None:
        return None
    needed = workload.resources
    # Where not even one fits, the rules above say so; made to fit, it would fill the instance.
    # The small addend: 0.3 cores hold three times 0.1, though their quotient is below 3.
    each = max(1, min(int(offer.cpu / needed.cpu + 1e-9), offer.memory // needed.memory))
    room = each * offer.count
    reason = f"needs {_counted(workload.replicas, 'replica')}, has room for {room}"
    if workload.replicas <= room:
        return _ok("replicas", reason)
    return _not_ok("replicas", reason, _change("replicas", room) if room > 0 else None)


def accelerator_present(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether it has the accelerators that one replica needs."""
    wanted = workload.resources.accelerator
    if wanted is None:
        return None
    counts = {item.kind: item.count for item in placement.platform.capability.accelerators}
    available = counts.get(wanted.kind, 0)
    if wanted.count <= available:
        return _ok("accelerator", f"needs {wanted.count} x {wanted.kind}, has {available}")
    if available:
        change = _change("resources.accelerator", f"{wanted.kind}:{available}")
        reason = f"needs {wanted.count} x {wanted.kind}, has {available}"
        return _not_ok("accelerator", reason, change)
    has = _listed(tuple(f"{count} x {kind}" for kind, count in sorted(counts.items())))
    reason = f"needs {wanted.count} x {wanted.kind}, has {has or 'no accelerator'}"
    return _not_ok("accelerator", reason, _change("resources.accelerator", None))


def isolation_reachable(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether it keeps the workload apart from all else as far as is required."""
    wanted = workload.requirements.isolation
    if wanted is None:
        return None
    offered = placement.platform.capability.isolation
    if offered is None:
        return _unknown("R2.isolation", f"level {wanted} is required; its level is not known")
    reason = f"level {wanted} is required, it offers {offered}"
    if wanted <= offered:
        return _ok("R2.isolation", reason)
    return _not_ok("R2.isolation", reason, _change("requirements.isolation", offered))


def region_required(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether it is in a region that the workload's file allows."""
    regions = workload.requirements.regions
    if not regions:
        return None
    if placement.offer.region in regions:
        return _ok("R2.regions", f"`{placement.offer.region}` is required or allowed")
    reason = f"it is in `{placement.offer.region}`; the file allows {_listed(regions)}"
    change = _change("requirements.regions", [*regions, placement.offer.region])
    return _not_ok("R2.regions", reason, change)


def region_allowed(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether it is in a region that the team may use."""
    regions = placement.context.allowed_regions
    if not regions:
        return None
    team = f"the team `{workload.team}`" if workload.team else "the team"
    if placement.offer.region in regions:
        return _ok("R2.policy", f"{team} may use `{placement.offer.region}`")
    reason = f"it is in `{placement.offer.region}`; {team} may use {_listed(regions)}"
    return _not_ok("R2.policy", reason)


def interruption_bearable(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether the workload bears that it may take its capacity back."""
    if workload.requirements.interruptible:
        return _ok("T5b", "the workload may be interrupted")
    taken_back = placement.platform.capability.interruptible
    if taken_back is None:
        return _unknown("T5b", "whether it takes capacity back at any time is not known")
    if not taken_back:
        return _ok("T5b", "it does not take capacity back")
    reason = "it may take its capacity back at any time, and the workload may not be interrupted"
    return _not_ok("T5b", reason, _change("requirements.interruptible", True))


def scale_to_zero_supported(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether nothing runs while nobody asks, where that is required."""
    if not workload.requirements.scale_to_zero:
        return None
    if isinstance(workload, Job):
        return _ok("H1b", "a job leaves nothing running when it ends")
    able = placement.platform.capability.scale_to_zero
    if able is None:
        return _unknown("H1b", "whether it scales to zero is not known")
    if able:
        return _ok("H1b", "it scales to zero")
    reason = "scale to zero is required, and it keeps every replica running"
    return _not_ok("H1b", reason, _change("requirements.scale_to_zero", False))


def network_held(workload: Workload, placement: Placement) -> Verdict | None:
    """Tell whether it can hold a job to the network that the file asks for."""
    if isinstance(workload, Endpoint):
        return None
    networks = placement.platform.capability.networks
    wanted = workload.network
    if networks is None:
        return _unknown("network", f"whether it can hold a job to `{wanted}` is not known")
    if wanted in networks:
        return _ok("network", f"it can hold a job to `{wanted}`")
    offered = next(iter(networks), None)
    reason = f"the network `{wanted}` is asked for; it offers {_listed(networks) or 'none'}"
    return _not_ok("network", reason, _change("network", offered) if offered else None)


# In the order in which people read them: can it at all, is it allowed, is it large enough.
RULES: tuple[Rule, ...] = (
    function_supported,
    platform_chosen,
    region_required,
    region_allowed,
    isolation_reachable,
    network_held,
    accelerator_present,
    cpu_fits,
    memory_fits,
    replicas_fit,
    interruption_bearable,
    scale_to_zero_supported,
)


def _ok(rule: str, reason: str) -> Verdict:
    return Verdict(rule=rule, outcome=Outcome.OK, reason=reason)


def _not_ok(rule: str, reason: str, change: Change | None = None) -> Verdict:
    remedy = None if change is None else f"`{change}`"
    return Verdict(rule=rule, outcome=Outcome.NOT_OK, reason=reason, remedy=remedy, change=change)


def _unknown(rule: str, reason: str) -> Verdict:
    return Verdict(rule=rule, outcome=Outcome.UNKNOWN, reason=reason)


def _change(field: str, value: JsonValue) -> Change:
    return Change(field=field, value=value)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _counted(number: float, noun: str, digits: str = "") -> str:
    return f"{number:{digits}} {noun}" if number == 1 else f"{number:{digits}} {noun}s"
