"""Decide who may do what: a role table as data, and pure functions on it.

The API asks `decide` on every route; the gateway is told by `callers_of` and `writers_of` what
`decide` would say about invoking an endpoint and about writing a team's models. Nothing here reads
a database: an Actor brings its grants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from plinth.domain.access import Action, Actor, Decision, Grant, Resource, Role

# Each role adds these to what the one before it may do.
_ADDED: Mapping[Role, frozenset[Action]] = {
    Role.VIEWER: frozenset({Action.READ, Action.INVOKE}),
    Role.CONTRIBUTOR: frozenset({Action.WRITE, Action.STOP}),
    Role.OPERATOR: frozenset(
        {Action.DELETE, Action.MANAGE_KEYS, Action.MANAGE_GRANTS, Action.OPERATE}
    ),
    Role.ADMIN: frozenset({Action.MANAGE_TEAMS}),
}
_RANK = {role: rank for rank, role in enumerate(Role)}
ENDPOINT = "endpoint"
MODEL = "model"
WORKSPACE = "workspace"


def allowed_actions(role: Role) -> frozenset[Action]:
    """Return everything the role may do: its own actions and those of the roles before it."""
    return frozenset().union(*(_ADDED[each] for each in Role if _RANK[each] <= _RANK[role]))


def role_needed(action: Action) -> Role:
    """Return the least role that may do `action`."""
    return next(role for role in Role if action in _ADDED[role])


def decide(actor: Actor, action: Action, resource: Resource) -> Decision:
    """Decide whether the actor may do `action` to `resource`, with the reason as a sentence."""
    needed = role_needed(action)
    held = [grant for grant in actor.grants if _is_for(grant, actor) and _covers(grant, resource)]
    enough = [grant for grant in held if _RANK[grant.role] >= _RANK[needed]]
    who, what = f"`{actor.principal.name}`", f"`{action}` {_describe(resource)}"
    if enough:
        grant = min(enough, key=_sort_key)
        return Decision(
            allow=True,
            rule=_rule(grant),
            reason=f"{who} may {what}: role `{grant.role}` on {_scope(grant)}",
        )
    best = max(held, key=lambda grant: _RANK[grant.role], default=None)
    has = f"has `{best.role}`" if best else "has no role there"
    return Decision(
        allow=False,
        rule="no-grant" if best is None else "role-too-low",
        reason=f"{who} may not {what}: this needs role `{needed}` on {_place(resource)}, "
        f"and {who} {has}",
    )


def decide_grant(actor: Actor, grant: Grant) -> Decision:
    """Decide whether the actor may give or take `grant`: nobody hands out more than they hold."""
    decision = decide(actor, Action.MANAGE_GRANTS, _target(grant))
    if not decision.allow or holds(actor, grant):
        return decision
    return Decision(
        allow=False,
        rule="more-than-held",
        reason=f"`{actor.principal.name}` may not grant `{grant.role}` on {_scope(grant)}: "
        f"this needs role `{grant.role}` there",
    )


def holds(actor: Actor, grant: Grant) -> bool:
    """Tell whether the actor has at least the role of `grant` on all that it is on."""
    return any(
        _RANK[each.role] >= _RANK[grant.role]
        for each in actor.grants
        if _is_for(each, actor) and _covers(each, _target(grant))
    )


def callers_of(
    team: str, name: str, grants: Iterable[Grant]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the principals and the whole teams that may invoke the endpoint `name` of `team`.

    Says the same as `decide` does for each of them; both sorted, without repetition.
    """
    return _allowed(Action.INVOKE, Resource(kind=ENDPOINT, team=team, name=name), grants)


def writers_of(team: str, grants: Iterable[Grant]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the principals and the whole teams that may write all models and runs of `team`.

    Says the same as `decide` does for each of them; both sorted, without repetition.
    """
    return _allowed(Action.WRITE, Resource(kind=MODEL, team=team), grants)


def openers_of(
    team: str, name: str, grants: Iterable[Grant]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the principals and the whole teams that may open the workspace `name` of `team`.

    Says the same as `decide` does for each of them; both sorted, without repetition.
    """
    return _allowed(Action.WRITE, Resource(kind=WORKSPACE, team=team, name=name), grants)


def _allowed(
    action: Action, resource: Resource, grants: Iterable[Grant]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    needed = _RANK[role_needed(action)]
    enough = [grant for grant in grants if _RANK[grant.role] >= needed and _covers(grant, resource)]
    principals = {grant.principal for grant in enough if grant.principal}
    teams = {grant.subject_team for grant in enough if grant.subject_team}
    return tuple(sorted(principals)), tuple(sorted(teams))


def _target(grant: Grant) -> Resource:
    kind, _, name = (grant.resource or "").partition("/")
    return Resource(kind=kind or "team", team=grant.team, name=name or None)


def _is_for(grant: Grant, actor: Actor) -> bool:
    if grant.principal:
        return grant.principal == actor.principal.id
    return grant.subject_team == actor.principal.team


def _covers(grant: Grant, resource: Resource) -> bool:
    if grant.team is None:
        # A resource lives in a team, so a grant on one without its team means nothing.
        return grant.resource is None
    if grant.team != resource.team:
        return False
    if grant.resource is None:
        return True
    return resource.name is not None and grant.resource == f"{resource.kind}/{resource.name}"


def _sort_key(grant: Grant) -> tuple[bool, bool, int]:
    """Order grants so that the widest and the least role explains the decision."""
    return grant.team is not None, grant.resource is not None, _RANK[grant.role]


def _rule(grant: Grant) -> str:
    scope = "platform" if grant.team is None else "resource" if grant.resource else "team"
    return f"{grant.role}-on-{scope}"


def _scope(grant: Grant) -> str:
    if grant.team is None:
        return "the platform"
    if grant.resource is None:
        return f"team `{grant.team}`"
    return f"`{grant.resource}` of team `{grant.team}`"


def _describe(resource: Resource) -> str:
    name = f"{resource.kind} `{resource.name}`" if resource.name else f"any {resource.kind}"
    return f"{name} of {_place(resource)}"


def _place(resource: Resource) -> str:
    return f"team `{resource.team}`" if resource.team else "the platform"
