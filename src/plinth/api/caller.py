"""Who calls, by the key that came with the request; whether they may; what they did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import Connection

from plinth.access.rbac import decide, decide_grant
from plinth.access.tokens import PREFIX, Claims, verify
from plinth.api.uploads import Uploads
from plinth.control.context import Context
from plinth.control.planning import PlanRefused, refusal_by_plan
from plinth.domain.access import (
    Action,
    Actor,
    Grant,
    Principal,
    PrincipalKind,
    Reach,
    Resource,
)
from plinth.domain.model import DataVersion
from plinth.domain.traffic import KEY_ID_HEADER, cookie_name
from plinth.kit.clock import Clock
from plinth.kit.errors import Denied, NotFound, PlinthError, Unauthenticated
from plinth.kit.excerpt import excerpt
from plinth.store.audit import LOCAL, Entry, add_entry
from plinth.store.identities import find_principal, find_team, load_actor

_HEADERS = ("api-key", "x-api-key")
# Nothing had expired then, so verifying at this time tells whose key an expired one was.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Trail:
    """What a request asked last, and what it was refused without being told so."""

    asked: Entry | None = None
    refused: Entry | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """The actor of this request, with which key and from where.

    `origin`: the address that the gateway saw, or `local`. `request_id`: the `x-plinth-id` that
    the caller gets.
    """

    actor: Actor
    key_id: str
    clock: Clock
    origin: str = LOCAL
    request_id: str | None = None
    trail: Trail = field(default_factory=Trail)

    def may(self, action: Action, resource: Resource) -> bool:
        """Tell whether the caller may do it."""
        return decide(self.actor, action, resource).allow

    @property
    def reach(self) -> Reach | None:
        """Of what the caller may see anything; None: of the whole platform."""
        grants = self.actor.grants
        if any(grant.team is None and grant.resource is None for grant in grants):
            return None
        whole = {grant.team for grant in grants if grant.team and grant.resource is None}
        single = {(grant.team, grant.resource) for grant in grants if grant.team and grant.resource}
        return Reach(
            teams=tuple(sorted(whole)),
            resources=tuple(
                Resource(kind=on.partition("/")[0], team=team, name=on.partition("/")[2])
                for team, on in sorted(single)
                if team not in whole
            ),
        )

    def hidden_of(self, data: Mapping[str, DataVersion]) -> dict[str, set[str]]:
        """Return which fields to leave out of data versions that the caller may not read."""
        return {
            name: {"uri", "file_name", "columns"}
            for name, version in data.items()
            if not self.may(
                Action.READ, Resource(kind="data", team=version.team, name=version.name)
            )
        }

    def require(self, action: Action, resource: Resource, *, absent: NotFound | None) -> None:
        """Return if the caller may do it.

        Raises `absent`, the very error for what does not exist, when the caller may not even see
        it, and Denied with the rule when they may see it but not do this. None: everybody knows
        that it exists, and is told the rule.
        """
        decision = decide(self.actor, action, resource)
        subject = f"{resource.kind}/{resource.name}" if resource.name else resource.kind
        self.trail.asked = self.entry(action, subject, team=resource.team, detail={})
        if decision.allow:
            return
        if absent is not None and not self.may(Action.READ, resource):
            self.trail.refused = refusal(self.trail.asked, decision.rule, decision.reason)
            raise absent
        who = "operator of the team" if resource.team else "admin of the platform"
        hint = f"an {who} can grant the role"
        raise Denied(decision.reason, hint=hint, rule=decision.rule)

    def require_grant(self, grant: Grant) -> None:
        """Return if the caller may give or take the grant. Raises Denied: it is more than held."""
        decision = decide_grant(self.actor, grant)
        if not decision.allow:
            raise Denied(decision.reason, rule=decision.rule)

    def note(
        self,
        connection: Connection,
        action: str,
        subject: str,
        *,
        team: str | None,
        **detail: Any,
    ) -> None:
        """Write into the audit log what the caller did, in the transaction that does it.

        `subject`: `kind/name`; `team` owns it, None: the platform. `detail`: what changed, as
        JSON: never a secret, never a payload.
        """
        add_entry(connection, self.entry(action, subject, team=team, detail=detail))

    def entry(
        self, action: str, subject: str, *, team: str | None, detail: Mapping[str, Any]
    ) -> Entry:
        """Return the entry of something that this caller did now."""
        return Entry(
            at=self.clock.now(),
            principal=self.actor.principal,
            key=self.key_id,
            team=team,
            action=action,
            subject=subject,
            detail=detail,
            origin=self.origin,
            request_id=self.request_id,
        )


def refusal(entry: Entry, rule: str, reason: str) -> Entry:
    """Return the entry of what was refused, by which rule."""
    detail = {**entry.detail, "rule": rule, "reason": reason}
    return entry.model_copy(update={"outcome": "denied", "detail": detail})


def get_context(request: Request) -> Context:
    """Return the control plane's parts."""
    context: Context = request.app.state.context
    return context


def get_uploads(request: Request) -> Uploads:
    """Return what receives bodies."""
    uploads: Uploads = request.app.state.uploads
    return uploads


def get_caller(request: Request, context: Annotated[Context, Depends(get_context)]) -> Caller:
    """Verify the key. Raises Unauthenticated when there is none, or when it does not hold.

    A browser's key does not hold here, wherever it stands.
    """
    return _caller(request, context, _key_of(request), None)


def caller_of_page(request: Request, context: Context, page: str) -> Caller:
    """Return who asks by the cookie that they have for `page`; as `get_caller` where there is none.

    Only for what the gateway routes from that page's own host.
    """
    cookie = request.cookies.get(cookie_name(context.port))
    if not cookie:
        raise Unauthenticated(
            "this browser is not signed in", hint=f"`plinth open {page}`", code="key_missing"
        )
    return _caller(request, context, PREFIX + cookie, page)


def _caller(request: Request, context: Context, token: str, page: str | None) -> Caller:
    try:
        claims = verify(context.keyring, token, context.clock.now())
    except Unauthenticated as err:
        if err.code == "key_expired":
            _refuse_key(request, context, verify(context.keyring, token, _LONG_AGO), err)
        raise
    if claims.page != page:
        raise Unauthenticated(
            "this key counts only on the page that a browser signed in to"
            if claims.page is not None
            else "this is no browser's key",
            hint="`plinth keys create` makes a key for programs, `plinth open` signs a browser in",
            code="key_of_page",
        )
    # What the gateway asked, counted and wrote down was about that key.
    if request.headers.get(KEY_ID_HEADER, claims.key_id) != claims.key_id:
        raise Unauthenticated(
            "this request carries two keys, one beside the other",
            hint="send one key, in one header",
        )
    with context.database.read() as connection:
        actor = load_actor(connection, claims.principal, claims.key_id)
    if actor is None:
        error = Unauthenticated(
            f"the key `{claims.key_id}` was revoked or its holder is gone",
            hint="ask the operator of your team for a new key: `plinth keys create`",
            code="key_revoked",
        )
        _refuse_key(request, context, claims, error)
        raise error
    caller = Caller(actor, claims.key_id, context.clock, origin_of(request), request_id_of(request))
    # Where the application finds it when the call ends in a refusal; until more is asked, the call
    # asks what its route says.
    request.state.trail = caller.trail
    asked = getattr(request.scope.get("route"), "openapi_extra", None) or {}
    caller.trail.asked = caller.entry(
        str(asked.get("x-plinth-action", request.method)),
        str(asked.get("x-plinth-resource", request.url.path)),
        team=actor.principal.team,
        detail={},
    )
    return caller


def require_again(
    request: Request, context: Context, action: Action, resource: Resource, *, absent: NotFound
) -> Caller:
    """Return the caller if they still may do it, when their body is there and nothing is kept yet.

    A body can take hours to come; meanwhile the key may expire or be revoked, and a grant be taken.
    Raises Unauthenticated for the key, else as `Caller.require`.
    """
    caller = get_caller(request, context)
    caller.require(action, resource, absent=absent)
    return caller


def needs(action: Action, kind: str) -> dict[str, Any]:
    """Return what a route says of itself: what it asks `decide`; a test walks every route."""
    return {"openapi_extra": {"x-plinth-action": action.value, "x-plinth-resource": kind}}


def no_team(name: str | None) -> NotFound:
    """Return the error for a team that is absent, or that the caller may not see; None: all."""
    if name is None:
        return NotFound("the whole platform is not yours to see", hint="name a team: `--on-team`")
    return NotFound(f"there is no team `{excerpt(name)}`", hint="`plinth teams` lists them")


def require_team(context: Context, name: str) -> None:
    """Return if there is the team, before anything is stored or asked for it. Else NotFound."""
    with context.database.read() as connection:
        if find_team(connection, name) is None:
            raise no_team(name)


def refusal_of(request: Request, error: PlinthError) -> Entry | None:
    """Return the entry of what a request that ended with `error` was refused; None: nothing was.

    What does not exist is no refusal, unless the error stands for what the caller may not see.
    """
    trail: Trail = getattr(request.state, "trail", Trail())
    if trail.refused is None and trail.asked is not None and isinstance(error, Denied):
        return refusal(trail.asked, error.rule, error.message)
    if trail.asked is not None and isinstance(error, PlanRefused):
        return refusal_by_plan(trail.asked, error)
    return trail.refused


ContextDep = Annotated[Context, Depends(get_context)]
CallerDep = Annotated[Caller, Depends(get_caller)]
UploadsDep = Annotated[Uploads, Depends(get_uploads)]


def _key_of(request: Request) -> str:
    """Return the key as the gateway finds it: what is none of ours is passed over."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    sent = [bearer.strip(" ")] if scheme.lower() == "bearer" else []
    sent += [request.headers[name] for name in _HEADERS if name in request.headers]
    found = next((each for each in sent if each.startswith(PREFIX)), next(filter(None, sent), None))
    if found is None:
        raise Unauthenticated(
            "the request has no key",
            hint="send `Authorization: Bearer plk_...`",
            code="key_missing",
        )
    return found


def origin_of(request: Request) -> str:
    """Return the caller's address: the last one in the header, which the gateway itself wrote.

    What stands before it came with the request, and anybody can write that. For a caller on the
    same machine Envoy writes the machine's own address.
    """
    return request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or LOCAL


def request_id_of(request: Request) -> str | None:
    """Return the gateway's id of this request, which the caller gets as `x-plinth-id`."""
    return request.headers.get("x-request-id")


def _refuse_key(request: Request, context: Context, claims: Claims, error: Unauthenticated) -> None:
    """Remember that a key which was once ours does not count any more."""
    with context.database.read() as connection:
        holder = find_principal(connection, claims.principal)
    if holder is None:
        kind = PrincipalKind.RUN if claims.is_run else PrincipalKind.SERVICE
        holder = Principal(id=claims.principal, kind=kind, name=claims.principal, team=claims.team)
    entry = Entry(
        at=context.clock.now(),
        principal=holder,
        key=claims.key_id,
        team=holder.team,
        action="authenticate",
        subject=f"key/{claims.key_id}",
        origin=origin_of(request),
        request_id=request_id_of(request),
    )
    request.state.trail = Trail(refused=refusal(entry, error.code, error.message))
