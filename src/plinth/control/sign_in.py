"""Sign browsers in and out: a link that works once becomes a short key in a cookie.

The code of a link is a secret that only its digest is kept of. A browser's key is a row like any
other: listed, revoked, and refused by the gateway at once.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode

from sqlalchemy import Connection

from plinth.access.tokens import PREFIX
from plinth.control.context import Context
from plinth.domain.access import Actor, Principal, PrincipalKind
from plinth.domain.base import Declared
from plinth.domain.traffic import SIGN_IN_PATH
from plinth.domain.web_page import page_origin
from plinth.kit.errors import Denied
from plinth.kit.ids import digest_of
from plinth.store.identities import (
    Key,
    add_key,
    find_key,
    find_principal,
    load_actor,
    revoke_key,
)
from plinth.store.sign_ins import SignIn, add_sign_in, find_sign_in, note_made, use_sign_in

LINK_S = 90.0
BROWSER_LABEL = "browser"
_CODE_BYTES = 32
_LONGEST_CODE = 100


class Link(Declared):
    """A link that signs one browser in, once, until `expires_at`."""

    url: str
    expires_at: datetime


class SignedIn(Declared):
    """Who a browser is now: its key, and the value of its cookie."""

    actor: Actor
    key: Key
    cookie: str


class Refusal(StrEnum):
    """Why a code signs nobody in."""

    UNKNOWN = "unknown"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"


def make_link(
    connection: Connection, context: Context, actor: Actor, key_id: str, page: str
) -> Link:
    """Make a link to a page for the holder of the key.

    Whether they may see the page is the caller's to know. Raises Denied for a run, and for a
    browser's key.

    A run ends and its key with it; a browser that could sign in others would never be out.
    """
    key = find_key(connection, key_id)
    if actor.principal.kind is PrincipalKind.RUN or key.label == BROWSER_LABEL:
        holder = "run" if actor.principal.kind is PrincipalKind.RUN else "browser"
        raise Denied(
            f"the key `{key_id}` is a {holder}'s, which signs no browser in",
            hint="use the key of a person or a program",
            rule="no-sign-in",
        )
    now = context.clock.now()
    code = secrets.token_urlsafe(_CODE_BYTES)
    expires_at = now + timedelta(seconds=LINK_S)
    sign_in = SignIn(
        digest=_digest(code),
        principal=actor.principal.id,
        key=key_id,
        page=page,
        created_at=now,
        expires_at=expires_at,
    )
    add_sign_in(connection, sign_in)
    address = f"{page_origin(page, context.port)}{SIGN_IN_PATH}?{urlencode({'code': code})}"
    return Link(url=address, expires_at=expires_at)


def use_link(connection: Connection, context: Context, code: str, page: str) -> SignedIn | Refusal:
    """Use a link up on its page and make the browser's key, both in the caller's transaction.

    The key holds for the hours of the setting, and no longer than the one that asked for the link.
    """
    now = context.clock.now()
    digest = _digest(code[:_LONGEST_CODE])
    if not use_sign_in(connection, digest, page, now):
        return _why_not(find_sign_in(connection, digest), page)
    sign_in = find_sign_in(connection, digest)
    assert sign_in is not None
    parent = find_key(connection, sign_in.key)
    actor = load_actor(connection, sign_in.principal, sign_in.key)
    if actor is None or parent.expires_at <= now:
        return Refusal.REVOKED
    lasts = timedelta(hours=context.settings.sign_in_hours)
    key = add_key(
        connection,
        principal=actor.principal,
        label=BROWSER_LABEL,
        expires_at=min(now + lasts, parent.expires_at),
        now=now,
    )
    note_made(connection, digest, key.id)
    token = context.mint(actor.principal, key.id, key.expires_at, page=page)
    return SignedIn(actor=actor, key=key, cookie=token.removeprefix(PREFIX))


def end_sign_in(
    connection: Connection, context: Context, cookie: str, page: str
) -> SignedIn | None:
    """Revoke the key in a page's cookie; None when it is no browser's, or not valid any more."""
    claims = context.claims_of(PREFIX + cookie)
    if claims is None or claims.page != page:
        return None
    actor = load_actor(connection, claims.principal, claims.key_id)
    if actor is None:
        return None
    key = find_key(connection, claims.key_id)
    if key.label != BROWSER_LABEL:
        return None
    revoke_key(connection, key.id, context.clock.now())
    return SignedIn(actor=actor, key=key, cookie=cookie)


def asked_by(connection: Connection, code: str) -> Principal | None:
    """Return who asked for the link with this code; None when there was no such link."""
    sign_in = find_sign_in(connection, _digest(code[:_LONGEST_CODE]))
    return find_principal(connection, sign_in.principal) if sign_in else None


def _digest(code: str) -> str:
    return digest_of(code.encode())


def _why_not(sign_in: SignIn | None, page: str) -> Refusal:
    if sign_in is None or sign_in.page != page:
        return Refusal.UNKNOWN
    return Refusal.USED if sign_in.used_at is not None else Refusal.EXPIRED
