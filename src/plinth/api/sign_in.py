"""Sign a browser in by a link that works once, and out again.

The link is made at `/api/v1/sign-in` with a key. The pages stand on the host of what the person
wants to see, because a browser keeps a cookie for the host that gave it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from plinth.api.caller import (
    Caller,
    CallerDep,
    ContextDep,
    needs,
    origin_of,
    refusal,
    request_id_of,
)
from plinth.api.workspaces import require_visit
from plinth.control.context import Context
from plinth.control.sign_in import (
    LINK_S,
    Refusal,
    SignedIn,
    asked_by,
    end_sign_in,
    make_link,
    use_link,
)
from plinth.control.status import Parts
from plinth.domain.access import Action, Principal
from plinth.domain.base import Declared
from plinth.domain.traffic import SIGN_IN_PATH, SIGN_OUT_PATH, cookie_name
from plinth.domain.web_page import CONSOLE, MLFLOW, page_of, workspace_of_page
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.kit.page import HEADERS, Button, page
from plinth.store.audit import Entry

router = APIRouter(tags=["sign-in"])
pages = APIRouter(include_in_schema=False)

_PREFETCHES = ("sec-purpose", "purpose", "x-moz")
_REFUSALS: Mapping[Refusal, tuple[int, str, str]] = {
    Refusal.UNKNOWN: (
        404,
        "This link signs nobody in",
        "It may have been copied only in part. This makes a new one:",
    ),
    Refusal.USED: (
        410,
        "This link was used already",
        "Each link signs one browser in, once. If that browser was not yours, `plinth keys` shows "
        "its key and revokes it. This makes a new link:",
    ),
    Refusal.EXPIRED: (
        410,
        "This link has expired",
        f"A link holds for {LINK_S:.0f} seconds. This makes a new one:",
    ),
    Refusal.REVOKED: (
        403,
        "This link does not count any more",
        "The key that asked for it has expired or was revoked. With a valid key, this makes a new "
        "link:",
    ),
}


class Wanted(Declared):
    """Which page the person wants to see, as the first label of its host."""

    page: str = MLFLOW


@router.post("/sign-in", **needs(Action.READ, "self"))
def link(wanted: Wanted, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Make a link that signs one browser in as the caller, once, to one page."""
    name = workspace_of_page(wanted.page)
    if name is not None:
        require_visit(context, caller, name)
    elif wanted.page not in (MLFLOW, CONSOLE):
        raise _no_page(wanted.page)
    with context.database.write() as connection:
        made = make_link(connection, context, caller.actor, caller.key_id, wanted.page)
        team = caller.actor.principal.team
        caller.note(connection, "create", f"sign-in/{wanted.page}", team=team)
    return made.model_dump(mode="json")


@pages.get(SIGN_IN_PATH)
def sign_in(request: Request, context: ContextDep, code: Annotated[str, Query()] = "") -> Response:
    """Use a link: give the browser its cookie, and show what it came for.

    Only a person who opens the link uses it up; whoever looks ahead or previews it does not. When
    another page led here, the person is asked first: the link might be somebody else's.
    """
    headers, place = request.headers, _page_of(request, context)
    is_opened = (
        headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
        and not any(name in headers for name in _PREFETCHES)
    )
    if not is_opened:
        text = "It was asked for by something else. Copy the link into a browser's address bar."
        return _shown(403, page("This link is for a browser to open", text))
    if headers.get("sec-fetch-site") not in ("none", "same-origin"):
        text = "A link wants to sign this browser in. Go on only if you asked for it yourself."
        button = Button("Sign in", SIGN_IN_PATH, "get", (("code", code),))
        return _shown(200, page("Sign in to Plinth?", text, button=button))
    with context.database.read() as connection:
        holder = asked_by(connection, code)
    if holder is None:
        # Guessing takes no key, so it must not keep writers waiting.
        return _refused(Refusal.UNKNOWN, place)
    with context.database.write() as connection:
        outcome = use_link(connection, context, code, place)
        if isinstance(outcome, SignedIn):
            _note(connection, request, context, outcome, "sign-in")
    if isinstance(outcome, Refusal):
        _note_refusal(request, context, holder, outcome)
        return _refused(outcome, place)
    seconds = (outcome.key.expires_at - context.clock.now()).total_seconds()
    return _redirect("/", _cookie(context, outcome.cookie, int(seconds)))


@pages.get(SIGN_OUT_PATH)
def ask_sign_out(request: Request, context: ContextDep) -> Response:
    """Ask whether to sign out."""
    text = f"This browser then needs a new link from `{_opening(_page_of(request, context))}`."
    return _shown(200, page("Sign out of Plinth?", text, button=Button("Sign out", SIGN_OUT_PATH)))


@pages.post(SIGN_OUT_PATH)
def sign_out(request: Request, context: ContextDep) -> Response:
    """Revoke the browser's key and take its cookie away."""
    cookie = request.cookies.get(cookie_name(context.port), "")
    place = _page_of(request, context)
    with context.database.write() as connection:
        ended = end_sign_in(connection, context, cookie, place)
        if ended is not None:
            _note(connection, request, context, ended, "sign-out")
    context.hint()
    text = "On a terminal, this signs it in again:"
    answer = _shown(200, page("This browser is signed out", text, command=_opening(place)))
    answer.headers["set-cookie"] = _cookie(context, "", 0)
    return answer


def _note(
    connection: Connection, request: Request, context: Context, browser: SignedIn, action: str
) -> None:
    """Write into the audit log who signed in or out, by the browser's own key."""
    caller = Caller(
        browser.actor,
        browser.key.id,
        context.clock,
        origin_of(request),
        request_id_of(request),
    )
    team = browser.actor.principal.team
    caller.note(connection, action, f"key/{browser.key.id}", team=team)


def _note_refusal(request: Request, context: Context, holder: Principal, why: Refusal) -> None:
    """Write into the audit log that the holder's link signed nobody in."""
    entry = Entry(
        at=context.clock.now(),
        principal=holder,
        team=holder.team,
        action="sign-in",
        subject=f"principal/{holder.id}",
        origin=origin_of(request),
        request_id=request_id_of(request),
    )
    parts: Parts = request.app.state.parts
    parts.refusals.note(refusal(entry, f"link_{why}", _REFUSALS[why][1]))


def _page_of(request: Request, context: Context) -> str:
    """Return the page at whose host this was asked; the gateway asks here for no other host."""
    return page_of(request.headers.get("host", ""), context.port) or MLFLOW


def _opening(place: str) -> str:
    return f"plinth open {place}"


def _no_page(name: str) -> NotFound:
    return NotFound(
        f"there is no page `{excerpt(name)}`",
        hint=f"`plinth open {MLFLOW}` and `plinth open {CONSOLE}` show one",
    )


def _refused(why: Refusal, place: str) -> Response:
    status, title, text = _REFUSALS[why]
    return _shown(status, page(title, text, command=_opening(place)))


def _shown(status: int, text: str) -> Response:
    return HTMLResponse(text, status_code=status, headers=dict(HEADERS))


def _redirect(path: str, cookie: str) -> Response:
    # The address with the code in it is nobody's business, not even of the page it leads to.
    private = {"referrer-policy": "no-referrer"}
    headers = {**HEADERS, **private, "location": path, "set-cookie": cookie}
    return Response(status_code=303, headers=headers)


def _cookie(context: Context, value: str, seconds: int) -> str:
    # Lax: a link from elsewhere may open a page. Nothing else that comes from elsewhere gets it.
    return (
        f"{cookie_name(context.port)}={value}; Path=/; Max-Age={seconds}; "
        "Secure; HttpOnly; SameSite=Lax"
    )
