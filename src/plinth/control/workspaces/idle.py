"""When a workspace stops by itself, from what was seen of it. Pure.

A cell that runs is never ended for want of activity, nor by the schedule; only the longest time of
a session ends it all the same, which its file says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from plinth.control.workspaces.probe import Seen
from plinth.domain.workspace import Schedule, Workspace
from plinth.kit.units import format_bytes, format_duration
from plinth.store.workspaces import Activity

# Of one core: what an idle tool and its idle kernels use is far below, what computes far above.
_WORKING_CORES = 0.2
_LONGEST_COUNTDOWN_S = 300.0
# Below this, whoever writes much is ended, so that others and the platform can still write.
_LEAST_DISK_BYTES = 2_000_000_000
_MUCH_BYTES = 50_000_000
# Libraries and what is just being given back count a little.
_MEMORY_SLACK = 1.25


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows: the activity to show, and, when the session is to end, `reason` and `message`.

    `state`: one word for lists: `Open`, `Busy` or `Idle`, which is the countdown.
    """

    activity: Activity
    state: str
    message: str
    reason: str | None = None


def judge(
    workspace: Workspace,
    before: Activity,
    seen: Seen | None,
    *,
    since: datetime,
    now: datetime,
    disk_free_bytes: int,
) -> Verdict:
    """Return what follows for a session that was begun at `since`; `seen` None: it did not say.

    `disk_free_bytes`: of the disk that holds people's files, and everything else of the node.
    """
    activity = _active(before, seen, since, now)
    limits = _limits(workspace, activity, since)
    at, why = limits[0]
    activity = activity.model_copy(update={"stops_at": at, "why": why, "can_stay": why != _LONGEST})
    longest = since + timedelta(seconds=workspace.longest_s)
    if now >= longest:
        how = format_duration(workspace.longest_s)
        return _end(activity, "TimeIsUp", f"its longest time of {how} is over")
    if seen is not None and seen.memory_bytes > _MEMORY_SLACK * workspace.resources.memory:
        used, has = format_bytes(seen.memory_bytes), format_bytes(workspace.resources.memory)
        return _end(activity, "OutOfMemory", f"it used {used} of memory and has {has}")
    wrote = activity.written_bytes - before.written_bytes
    if disk_free_bytes < _LEAST_DISK_BYTES and wrote > _MUCH_BYTES:
        left = format_bytes(disk_free_bytes)
        return _end(activity, "DiskFull", f"it wrote {format_bytes(wrote)} while {left} were left")
    if seen is None:
        return Verdict(activity, "Open", "does not say what goes on in it")
    if activity.busy:
        names = ", ".join(f"`{name}`" for name in activity.busy)
        waits = "; it stops when that is done" if now >= at else ""
        return Verdict(activity, "Busy", f"a cell of {names} runs{waits}")
    if now >= at:
        if why == _SCHEDULE:
            return _end(activity, "ScheduleStopped", f"it stops at {_said(workspace)} every day")
        idle = format_duration((now - (activity.active_at or since)).total_seconds())
        return _end(activity, "IdleStopped", f"nobody worked in it for {idle}")
    left_s = (at - now).total_seconds()
    if left_s <= countdown_s(workspace):
        return Verdict(activity, "Idle", f"stops in {format_duration(left_s)}: {why}")
    return Verdict(activity, "Open", "is open")


def countdown_s(workspace: Workspace) -> float:
    """Return for how many seconds it is told beforehand that a workspace stops."""
    return min(_LONGEST_COUNTDOWN_S, workspace.idle_stop / 2)


def next_stop(schedule: Schedule, after: datetime) -> datetime:
    """Return the first moment after `after` at which the schedule stops it."""
    hour, _, minute = schedule.stop_at.partition(":")
    zone = ZoneInfo(schedule.timezone) if schedule.timezone else None
    local = after.astimezone(zone)
    day = local.date()
    while True:
        at = datetime.combine(day, time(int(hour), int(minute)), tzinfo=zone or local.tzinfo)
        if at > after:
            return at.astimezone(UTC)
        day += timedelta(days=1)


_SCHEDULE = "its schedule says so"
_IDLE = "nobody works in it"
_LONGEST = "its longest time will be over"


def _limits(
    workspace: Workspace, activity: Activity, since: datetime
) -> list[tuple[datetime, str]]:
    """Return when it would stop, and why, the earliest first."""
    # Who has it open, and reads, sees the countdown and may need a moment more.
    shown_s = countdown_s(workspace) if activity.connections else 0.0
    idle_at = (activity.active_at or since) + timedelta(seconds=workspace.idle_stop + shown_s)
    found = [(idle_at, _IDLE), (since + timedelta(seconds=workspace.longest_s), _LONGEST)]
    if workspace.schedule is not None:
        stops_at = next_stop(workspace.schedule, since)
        found.append((max(stops_at, activity.stay_until or stops_at), _SCHEDULE))
    return sorted(found)


def _active(before: Activity, seen: Seen | None, since: datetime, now: datetime) -> Activity:
    active_at = max(before.active_at or since, since)
    if seen is None:
        return before.model_copy(update={"active_at": active_at})
    working = bool(seen.busy) or seen.cpu >= _WORKING_CORES
    told = [seen.active_at, *(each.active_at for each in seen.kernels)]
    told += [each.active_at for each in seen.terminals]
    if (len(seen.kernels), len(seen.terminals), seen.connections) != (
        *(before.kernels, before.terminals, before.connections),
    ):
        # Somebody opened or closed something.
        told.append(now)
    active_at = now if working else min(now, max(active_at, *told))
    first = seen.first_cell_at
    first_cell_s = (
        max(0.0, (first - since).total_seconds()) if first is not None else before.first_cell_s
    )
    return Activity(
        seen_at=now,
        attempt=before.attempt,
        kernels=len(seen.kernels),
        busy=seen.busy,
        terminals=len(seen.terminals),
        connections=seen.connections,
        cpu=round(seen.cpu, 2),
        memory_bytes=seen.memory_bytes,
        active_at=active_at,
        stay_until=before.stay_until,
        written_bytes=seen.written_bytes,
        ready_s=before.ready_s,
        # The first cell since the session began; a tool that was opened again has another one.
        first_cell_s=before.first_cell_s if before.first_cell_s is not None else first_cell_s,
    )


def _end(activity: Activity, reason: str, message: str) -> Verdict:
    return Verdict(activity, reason, message, reason)


def _said(workspace: Workspace) -> str:
    assert workspace.schedule is not None
    zone = f" {workspace.schedule.timezone}" if workspace.schedule.timezone else ""
    return f"{workspace.schedule.stop_at}{zone}"
