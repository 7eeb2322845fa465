"""How the node stands: the gateway, tracking, what is being built, and every unit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from plinth import __version__
from plinth.control.context import Context
from plinth.control.gateway import GatewayReconciler
from plinth.control.loop import Periodic
from plinth.control.metering import Metering
from plinth.control.refusals import Refusals
from plinth.control.tracking import TrackingKeeper
from plinth.kit.errors import NotFound, Temporary
from plinth.kit.excerpt import excerpt
from plinth.store.runs import names_of
from plinth.units.folder import UnitFolder
from plinth.units.logs import read
from plinth.units.spec import check_id

_REPLICA_PARTS = 3
_LATEST_GAPS = 3


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs in the control plane beside the reconciler loop."""

    gateway: GatewayReconciler
    tracking: TrackingKeeper
    metering: Metering
    refusals: Refusals
    periodic: tuple[Periodic, ...]


def node_status(context: Context, parts: Parts, *, with_memory: bool) -> dict[str, Any]:
    """Return the state of everything on this node; never raises because a part is down."""
    try:
        node: dict[str, Any] | None = asdict(context.agent.ping())
        units = _with_workloads(
            context, [asdict(unit) for unit in context.agent.observe(memory=with_memory)]
        )
        agent_error = None
    except Temporary as err:
        node, units, agent_error = None, [], err.message
    published = parts.gateway.published
    return {
        "version": __version__,
        "address": context.address,
        "home": str(context.home.root),
        "node": node,
        "agent_error": agent_error,
        "gateway": {
            "ready": published is not None,
            "version": published.version if published else None,
        },
        "tracking": {"ready": parts.tracking.state == "ready", "state": parts.tracking.state},
        "usage": _usage(context),
        "building": context.builder.progress(),
        "errors": {p.name: p.last_error for p in parts.periodic if p.last_error},
        "units": units,
    }


def _usage(context: Context) -> dict[str, Any]:
    """Return what the ledger knows to be missing in it; None where it cannot be read now."""
    try:
        return {
            "gaps": context.ledger.count_gaps(),
            "latest_gaps": [
                gap.model_dump(mode="json") for gap in context.ledger.gaps(newest=_LATEST_GAPS)
            ],
            "unreadable_lines": context.ledger.count_unreadable(),
        }
    except Temporary:
        return {"gaps": None, "latest_gaps": [], "unreadable_lines": None}


def _with_workloads(context: Context, units: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of each unit whose it is, and of a replica how often it was started again.

    A replica's next attempt is another unit, `RUN.REPLICA.ATTEMPT`.
    """
    with context.database.read() as connection:
        names = names_of(connection, {unit["id"].partition(".")[0] for unit in units})
    for unit in units:
        parts = unit["id"].split(".")
        unit["workload"] = names.get(parts[0])
        if len(parts) == _REPLICA_PARTS and parts[2].isdigit():
            unit["restarts"] += int(parts[2]) - 1
    return units


def unit_log(context: Context, unit_id: str, offset: int, limit: int) -> tuple[bytes, int]:
    """Return up to `limit` bytes of what a unit printed from `offset`, and the next offset.

    Raises NotFound when the node has no such unit.
    """
    folder = UnitFolder(context.home.units / check_id(unit_id))
    if not folder.path.is_dir():
        raise no_unit(unit_id)
    return read(folder.log, offset, limit)


def no_unit(unit_id: str) -> NotFound:
    """Return the error for a unit that is absent, or that the caller may not see."""
    return NotFound(
        f"there is no unit `{excerpt(unit_id)}`", hint="`plinth status` lists the units"
    )
