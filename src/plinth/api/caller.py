"""Who calls, by the key that came with the request; and whether they may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from plinth.access.rbac import decide
from plinth.access.tokens import verify
from plinth.api.uploads import Uploads
from plinth.control.context import Context
from plinth.domain.access import Action, Actor, Resource
from plinth.kit.errors import Denied, NotFound, Unauthenticated
from plinth.store.identities import find_team, load_actor

_HEADERS = ("api-key", "x-api-key")


@dataclass(frozen=True, slots=True)
class Caller:
    """The actor of this request."""

    actor: Actor

    def may(self, action: Action, resource: Resource) -> bool:
        """Tell whether the caller may do it."""
        return decide(self.actor, action, resource).allow

    @property
    def teams(self) -> tuple[str, ...] | None:
        """The teams of which the caller may see anything; None: the whole platform."""
        teams = {grant.team for grant in self.actor.grants}
        return None if None in teams else tuple(sorted(team for team in teams if team))

    def require(self, action: Action, resource: Resource, *, absent: NotFound) -> None:
        """Return if the caller may do it.

        Raises `absent`, the very error for what does not exist, when the caller may not even see
        it, and Denied with the rule when they may see it but not do this.
        """
        decision = decide(self.actor, action, resource)
        if decision.allow:
            return
        if not self.may(Action.READ, resource):
            raise absent
        raise Denied(decision.reason, hint="an operator of the team can grant the role")


def get_context(request: Request) -> Context:
    """Return the control plane's parts."""
    context: Context = request.app.state.context
    return context


def get_uploads(request: Request) -> Uploads:
    """Return what receives bodies."""
    uploads: Uploads = request.app.state.uploads
    return uploads


def get_caller(request: Request, context: Annotated[Context, Depends(get_context)]) -> Caller:
    """Verify the key. Raises Unauthenticated when there is none, or when it does not hold."""
    claims = verify(context.keyring, _key_of(request), context.clock.now())
    with context.database.read() as connection:
        actor = load_actor(connection, claims.principal, claims.key_id)
    if actor is None:
        raise Unauthenticated(
            f"the key `{claims.key_id}` was revoked or its holder is gone",
            hint="ask the operator of your team for a new key: `plinth keys create`",
            code="key_revoked",
        )
    return Caller(actor)


def needs(action: Action, kind: str) -> dict[str, Any]:
    """Return what a route says of itself: what it asks `decide`; a test walks every route."""
    return {"openapi_extra": {"x-plinth-action": action.value, "x-plinth-resource": kind}}


def no_team(name: str | None) -> NotFound:
    """Return the error for a team that is absent, or that the caller may not see; None: all."""
    if name is None:
        return NotFound("the whole platform is not yours to see", hint="name a team: `--on-team`")
    return NotFound(f"there is no team `{name}`", hint="`plinth teams` lists them")


def require_team(context: Context, name: str) -> None:
    """Return if there is the team, before anything is stored or asked for it. Else NotFound."""
    with context.database.read() as connection:
        if find_team(connection, name) is None:
            raise no_team(name)


ContextDep = Annotated[Context, Depends(get_context)]
CallerDep = Annotated[Caller, Depends(get_caller)]
UploadsDep = Annotated[Uploads, Depends(get_uploads)]


def _key_of(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    for name in _HEADERS:
        if name in request.headers:
            return request.headers[name]
    raise Unauthenticated(
        "the request has no key", hint="send `Authorization: Bearer plk_...`", code="key_missing"
    )
