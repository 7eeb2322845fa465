"""How the gateway stands: what it runs, what it refused, what comes through it now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from plinth.control.context import Context
from plinth.control.endpoints.health import read_health
from plinth.control.metering import access_log
from plinth.control.published import Published, Record
from plinth.control.recent import sum_up, total
from plinth.control.requests import FAMILIES
from plinth.control.status import Parts
from plinth.domain.traffic import Deployment
from plinth.gateway.access_log import AccessRecord
from plinth.gateway.admin import Admin
from plinth.kit.errors import Temporary
from plinth.metering.counters import Counter, Family, Kind, Series, to_text

# What is summed up as "now".
WINDOW_S = 60.0

_GAPS = Family(
    "plinth_usage_gaps", Kind.GAUGE, "Times whose requests may be missing: Envoy was killed then."
)
_UNREADABLE = Family(
    "plinth_unreadable_lines",
    Kind.GAUGE,
    "Lines of logs that could not be read, ever: should be 0.",
)
_SINCE = Family(
    "plinth_counters_created_timestamp_seconds", Kind.GAUGE, "When the oldest counter began."
)


def gateway_status(
    context: Context,
    parts: Parts,
    may_see_endpoint: Callable[[str, str], bool],
    may_see: Callable[[AccessRecord], bool],
) -> dict[str, Any]:
    """Return how the gateway stands; never raises because it is down.

    `may_see_endpoint` is asked with the team and the name; `may_see` of each line of the log.
    """
    published = parts.gateway.published
    routes = Record(context.home).routes()
    seen = [route for route in routes if may_see_endpoint(route.team, route.name)]
    now = context.clock.now()
    traffic = sum_up(access_log(context.home), now, WINDOW_S, may_see)
    refused = published.refused if published else {}
    names = {route.name for route in seen}
    return {
        "version": published.version if published else None,
        "is_settled": published.is_settled if published else False,
        "refused": {
            name: {"version": each.version, "reason": each.reason}
            for name, each in sorted(refused.items())
            if name in names
        },
        **_of_providers(context, [each for route in seen for each in route.deployments], published),
        "error": next((p.last_error for p in parts.periodic if p.name == "gateway"), None),
        **_of_envoy(context),
        "is_guarded": published.is_guarded if published else False,
        "endpoints": len(seen),
        "ready_endpoints": sum(bool(route.shares()) for route in seen),
        "deployments": sum(len(route.deployments) for route in seen),
        "traffic": total(traffic.values(), WINDOW_S).to_json(),
        "by_endpoint": {name: each.to_json() for name, each in traffic.items()},
    }


def _of_providers(
    context: Context, deployments: Sequence[Deployment], published: Published | None
) -> dict[str, Any]:
    """Return by id which deployments elsewhere do not answer, or lack their newest credential."""
    health, old = read_health(context.home), published.credentials if published else {}
    return {
        "unhealthy": {
            each.id: {"since": health[each.id].since, "why": health[each.id].why}
            for each in deployments
            if each.id in health and health[each.id].state == "unhealthy"
        },
        "credentials": {each.id: old[each.id] for each in deployments if each.id in old},
    }


def _of_envoy(context: Context) -> dict[str, Any]:
    """Return what Envoy says of itself; where it does not answer, that."""
    try:
        with Admin(context.home.socket("envoy-admin")) as admin:
            kinds = admin.acknowledged()
            listeners = admin.listeners()
    except Temporary as err:
        return {"is_running": False, "envoy_error": err.message, "kinds": {}, "listeners": []}
    return {
        "is_running": True,
        "envoy_error": None,
        "kinds": {
            kind: {"version": each.version, "refused": each.rejected}
            for kind, each in kinds.items()
        },
        "listeners": listeners,
    }


def metrics_text(context: Context, may_see: Callable[[str | None], bool]) -> str:
    """Return the counters for Prometheus: those of teams that the caller may see.

    `may_see` is asked with a team; with None for what belongs to no team. The counters stand in
    the ledger, filled by whichever control plane reads the log: any of them answers alike, and
    they go on where they were when it starts anew.
    """
    counters = context.ledger.counters()
    found = [each for each in counters if may_see(each.series.label("team") or None)]
    families: tuple[Family, ...] = FAMILIES
    if may_see(None):
        families = (*FAMILIES, _GAPS, _UNREADABLE, _SINCE)
        found += _of_ledger(context, counters)
    return to_text(families, found)


def _of_ledger(context: Context, counters: list[Counter]) -> list[Counter]:
    now = context.clock.now()
    since = min((each.created_at for each in counters), default=now)
    values = {
        _GAPS: float(context.ledger.count_gaps()),
        _UNREADABLE: float(context.ledger.count_unreadable()),
        _SINCE: since.timestamp(),
    }
    return [Counter(Series(family.name), value, since) for family, value in values.items()]
