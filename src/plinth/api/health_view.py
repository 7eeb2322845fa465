"""How the server of an external deployment stands, in words and with what to do."""

from __future__ import annotations

from typing import Any

from plinth.control.endpoints.health import Health
from plinth.domain.serving import External

_ASK = "`health: {path: ...}` in the endpoint's file has the gateway ask it by itself"


def health_view(
    external: External, *, team: str, has_key: bool, trouble: str | None, health: Health | None
) -> dict[str, Any]:
    """Return `state`, `since`, `why` and `hint`; None for what is not known.

    `state`: `healthy`, `unhealthy`, `unknown`, `no credential`, or `old credential`: the newest
    value cannot be sent, for the reason in `trouble`, and the one before still is.
    """
    again = f"`plinth secrets set {external.secret} --team {team}` sets it"
    if not has_key:
        why = f"team `{team}` has no secret `{external.secret}`, so it gets no requests"
        return _view("no credential", why, again)
    if trouble is not None:
        return _view("old credential", trouble, again)
    if health is None:
        return _view("unknown", "nobody has asked it anything yet", _ASK)
    hint = None
    if health.state == "unhealthy":
        hint = "look at the server; it is seen here when it answers again"
        hint += "" if health.is_asked else f", which needs a request: {_ASK}"
    return _view(health.state, health.why, hint, health.since)


def _view(state: str, why: str, hint: str | None, since: str | None = None) -> dict[str, Any]:
    return {"state": state, "since": since, "why": why, "hint": hint}
