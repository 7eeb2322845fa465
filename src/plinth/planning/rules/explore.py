"""Exploration: workspaces that stop, GPUs for a reason and a time, team files, staying put."""

from __future__ import annotations

from plinth.domain.application import HOURS_PER_MONTH, ExploreDemand
from plinth.domain.need import Need
from plinth.domain.plan import Change, Verdict
from plinth.domain.platform import Function
from plinth.planning.context import Placement
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

_STAY = "E6b"


def compute_transient(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether its compute exists, and is paid for, only while somebody works in it."""
    ephemeral = placement.platform.capability.compute.ephemeral
    if ephemeral is None:
        return unknown("E1", "whether it stops when nobody works" + _fill(placement, "ephemeral"))
    hours = _worked_hours(need)
    if ephemeral:
        reason = "it is started and stopped on demand"
        if hours is not None:
            reason += f"; paid for {hours:g} of {HOURS_PER_MONTH} hours of a month"
        return ok("E1", reason)
    reason = "a workspace has to stop when nobody works; this one runs, and costs, until it ends"
    if hours is not None:
        idle = HOURS_PER_MONTH - hours
        reason += f": {idle:g} of {HOURS_PER_MONTH} hours of a month idle"
    return not_ok("E1", reason)


def gpu_on_demand(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it gives the GPU that is asked for, at the time when it is."""
    wanted = need.resources.accelerator
    if wanted is None:
        return None
    has = placement.platform.capability.compute.gpu
    if has is None:
        return unknown("E2", "whether it gives GPUs" + _fill(placement, "gpu"))
    if has:
        return ok("E2", f"needs {wanted.count} x {wanted.kind}; it gives GPUs on demand")
    reason = f"needs {wanted.count} x {wanted.kind}; it has no GPUs"
    return not_ok("E2", reason, set_field(need, "resources.accelerator", None))


def gpu_time_limited(need: Need, _placement: Placement) -> Verdict | None:
    """Tell whether the time that a person may hold a GPU is limited, so that it is given back."""
    if need.resources.accelerator is None:
        return None
    field = need.at("gpu_hours")
    if need.gpu_hours is not None:
        reason = f"each person may hold a GPU for {need.gpu_hours:g} hours of a month at most"
        return ok("E2.time", reason)
    hours = _worked_hours(need)
    if hours is None:
        return not_ok("E2.time", f"a GPU is given for a limited time; state `{field}`")
    reason = (
        f"a GPU is given for a limited time, and `{field}` states none; "
        f"each person works {hours:g} hours a month"
    )
    # Written as in the file: 80, not 80.0.
    most = int(hours) if hours == int(hours) else hours
    return not_ok("E2.time", reason, set_field(need, "gpu_hours", most))


def gpu_reasoned(need: Need, _placement: Placement) -> Verdict | None:
    """Tell whether a GPU is asked for with a reason, since exploration mostly needs none."""
    wanted = need.resources.accelerator
    if wanted is None:
        return None
    why = (need.gpu_reason or "").strip()
    asked = f"{wanted.count} x {wanted.kind}"
    if why:
        return ok("E7", f"{asked} for: {why}")
    reason = (
        f"{asked} is asked for without `{need.at('gpu_reason')}`; "
        "no GPU is given unless it is needed"
    )
    return not_ok("E7", reason, set_field(need, "resources.accelerator", None))


def team_files_shared(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the team's files are there in every workspace."""
    if not need.team_share:
        return None
    shares = placement.platform.capability.compute.file_share
    if shares is None:
        return unknown("E6a", "whether it mounts a team's files" + _fill(placement, "file_share"))
    if shares:
        people = counted(need.instances, "workspace")
        return ok("E6a", f"the team's files are mounted into {people}")
    reason = "the team's files are asked for in every workspace; it mounts none by itself"
    return not_ok("E6a", reason, set_field(need, "team_share", False))


def stays_where_it_is(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it is in use already, where that alone speaks for it."""
    name = placement.platform.name
    kept = [each for each, data in need.data.items() if data.platform == name]
    owned = placement.context.inventory.of(name)
    if kept and owned:
        return ok(_STAY, f"`{kept[0]}` lies on `{owned[0].name}`, which you own: stay there")
    if _STAY not in (placement.platform.capability.guidance.default_for or ()):
        return None
    if owned:
        return ok(_STAY, f"you own `{owned[0].name}`: stay where you are")
    if kept:
        return ok(_STAY, f"`{kept[0]}` lies on it, so it is in use: stay there")
    regions = (data.region for data in need.data.values() if data.region)
    region = next(regions, None)
    change = Change(
        field=name, value={} if region is None else {"region": region}, of_inventory=True
    )
    reason = "for exploration it suits those who use it already, and the inventory has none"
    return not_ok(_STAY, reason, change)


def _worked_hours(need: Need) -> float | None:
    """Hours of a month in which one person works in it; None: nobody said."""
    if not isinstance(need.demand, ExploreDemand):
        return None
    return min(need.demand.hours, HOURS_PER_MONTH)


def _fill(placement: Placement, fact: str) -> str:
    """Say of an unknown fact where it is filled in."""
    return f" is not known; `compute.{fact}` is missing in platforms/{placement.platform.name}.yaml"


_EXPLORE: frozenset[Function] = frozenset({"explore"})
EXPLORE: tuple[Rule, ...] = (
    Rule("E1", Pillar.COST, Scope.WAY, compute_transient, _EXPLORE),
    Rule("E2", Pillar.PERFORMANCE, Scope.WAY, gpu_on_demand, _EXPLORE),
    Rule("E2.time", Pillar.COST, Scope.WAY, gpu_time_limited, _EXPLORE),
    Rule("E7", Pillar.COST, Scope.WAY, gpu_reasoned, _EXPLORE),
    Rule("E6a", Pillar.OPERATIONS, Scope.WAY, team_files_shared, _EXPLORE),
    Rule("E6b", Pillar.OPERATIONS, Scope.WAY, stays_where_it_is, _EXPLORE),
)
