"""What a workspace's own page asks the control plane: when it stops, and to stay open.

The gateway routes it here from the workspace's host as `/plinth/...`; the browser is known by its
cookie, as its tool never sees it.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from plinth.api.caller import Caller, ContextDep, caller_of_page
from plinth.api.workspaces import require_visit
from plinth.control.context import Context
from plinth.control.workspaces.idle import countdown_s
from plinth.control.workspaces.service import stay_open
from plinth.domain.web_page import page_of, workspace_of_page
from plinth.store.workspaces import get_workspace, no_workspace

# Where the gateway sends it.
PREFIX = "/workspace-page"
pages = APIRouter(include_in_schema=False, prefix=PREFIX)

# A line at the foot of the page while it counts down; one click keeps it open.
_SCRIPT = """
(() => {
  const bar = document.createElement('div');
  bar.setAttribute('role', 'status');
  bar.style.cssText = 'position:fixed;z-index:99999;left:0;right:0;bottom:0;padding:8px 16px;' +
    'background:#7a4a00;color:#fff;font:14px system-ui,sans-serif;display:none;gap:12px;' +
    'align-items:center;justify-content:center';
  const text = document.createElement('span');
  const stay = document.createElement('button');
  stay.textContent = 'Stay open';
  stay.style.cssText = 'font:inherit;padding:4px 12px;cursor:pointer';
  stay.onclick = () => fetch('/plinth/stay', {method: 'POST'}).then(look);
  bar.append(text, stay);
  let stopsAt = null, why = '';
  function show() {
    bar.style.display = stopsAt === null ? 'none' : 'flex';
    if (stopsAt === null) return;
    const left = Math.max(0, Math.round((stopsAt - Date.now()) / 1000));
    const time = Math.floor(left / 60) + ':' + String(left % 60).padStart(2, '0');
    text.textContent = 'This workspace stops in ' + time + ': ' + why + '. Its files are kept.';
  }
  async function look() {
    try {
      const answer = await fetch('/plinth/status');
      if (!answer.ok) return;
      const told = await answer.json();
      stopsAt = told.counts_down ? Date.now() + told.stops_in_s * 1000 : null;
      why = told.why;
      stay.style.display = told.can_stay ? '' : 'none';
      show();
    } catch (_) { /* it is away; the next time may tell */ }
  }
  document.addEventListener('DOMContentLoaded', () => document.body.append(bar));
  if (document.body) document.body.append(bar);
  setInterval(show, 1000);
  setInterval(look, 10000);
  look();
})();
"""


def get_visitor(request: Request, context: ContextDep) -> tuple[Caller, str]:
    """Return who asks, and the workspace at whose host; only who may visit it."""
    page = page_of(request.headers.get("host", ""), context.port) or ""
    name = workspace_of_page(page)
    if name is None:
        raise no_workspace(page)
    caller = caller_of_page(request, context, page)
    require_visit(context, caller, name)
    return caller, name


VisitorDep = Annotated[tuple[Caller, str], Depends(get_visitor)]


@pages.get("/page.js")
def script() -> Response:
    """Return what the page runs to show the countdown."""
    headers = {"cache-control": "max-age=300"}
    return Response(_SCRIPT, media_type="text/javascript", headers=headers)


@pages.get("/status")
def status(context: ContextDep, visitor: VisitorDep) -> dict[str, Any]:
    """Say when the workspace stops."""
    return _told(context, visitor[1])


@pages.post("/stay")
def stay(context: ContextDep, visitor: VisitorDep) -> dict[str, Any]:
    """Count as work that somebody says so."""
    caller, name = visitor
    with context.database.write() as connection:
        found = get_workspace(connection, name)
        stay_open(connection, context, found)
        caller.note(connection, "stay", f"workspace/{name}", team=found.team)
    context.hint()
    return _told(context, name)


def _told(context: Context, name: str) -> dict[str, Any]:
    with context.database.read() as connection:
        found = get_workspace(connection, name)
    activity, now = found.activity, context.clock.now()
    is_known = activity.stops_at is not None and found.desired == "run" and not activity.busy
    left_s = (activity.stops_at - now).total_seconds() if activity.stops_at else 0.0
    return {
        "counts_down": is_known and left_s <= countdown_s(found.workload),
        "stops_in_s": max(0.0, round(left_s, 1)),
        "why": activity.why or "",
        "can_stay": activity.can_stay,
    }
