from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.access import rbac
from plinth.domain.access import (
    Action,
    Actor,
    Grant,
    Principal,
    PrincipalKind,
    Resource,
    Role,
)

ANN = Principal(id="p_ann", kind=PrincipalKind.USER, name="ann", team="ops")
MODEL = Resource(kind="endpoint", team="ops", name="delay")
OTHERS = Resource(kind="endpoint", team="research", name="delay")
PLATFORM = Resource(kind="team")

_TEAMS = st.sampled_from(["ops", "research", "sales"])
_PRINCIPALS = st.sampled_from(["p_ann", "p_bob", "p_cia"])
_GRANTS = st.lists(
    st.builds(
        Grant,
        role=st.sampled_from(Role),
        team=st.none() | _TEAMS,
        resource=st.none() | st.sampled_from(["endpoint/delay", "endpoint/price", "job/delay"]),
        principal=_PRINCIPALS,
    )
    | st.builds(
        Grant,
        role=st.sampled_from(Role),
        team=st.none() | _TEAMS,
        resource=st.none() | st.sampled_from(["endpoint/delay", "job/delay"]),
        subject_team=_TEAMS,
    ),
    max_size=6,
)


def ann_with(*grants: Grant) -> Actor:
    return Actor(principal=ANN, grants=grants)


def on_team(role: Role, team: str | None = "ops", resource: str | None = None) -> Grant:
    return Grant(role=role, principal="p_ann", team=team, resource=resource)


@pytest.mark.parametrize(
    ("role", "actions"),
    [
        (Role.VIEWER, "read invoke"),
        (Role.CONTRIBUTOR, "read invoke write stop"),
        (
            Role.OPERATOR,
            "read invoke write stop delete manage-keys manage-grants operate",
        ),
        (Role.ADMIN, " ".join(Action)),
    ],
)
def test_each_role_may_do_exactly_this(role: Role, actions: str) -> None:
    allowed = {
        action for action in Action if rbac.decide(ann_with(on_team(role)), action, MODEL).allow
    }
    assert allowed == {Action(name) for name in actions.split()}


@pytest.mark.parametrize(
    ("grant", "resource", "allow", "rule"),
    [
        (on_team(Role.VIEWER), MODEL, True, "viewer-on-team"),
        (on_team(Role.VIEWER), OTHERS, False, "no-grant"),
        (on_team(Role.VIEWER), PLATFORM, False, "no-grant"),
        (on_team(Role.VIEWER, None), OTHERS, True, "viewer-on-platform"),
        (on_team(Role.VIEWER, None), PLATFORM, True, "viewer-on-platform"),
        (on_team(Role.VIEWER, "ops", "endpoint/delay"), MODEL, True, "viewer-on-resource"),
        (on_team(Role.VIEWER, "ops", "endpoint/price"), MODEL, False, "no-grant"),
        (on_team(Role.VIEWER, "ops", "job/delay"), MODEL, False, "no-grant"),
        (on_team(Role.VIEWER, "research", "endpoint/delay"), MODEL, False, "no-grant"),
        (on_team(Role.VIEWER, None, "endpoint/delay"), MODEL, False, "no-grant"),
        (Grant(role=Role.VIEWER, principal="p_bob", team="ops"), MODEL, False, "no-grant"),
        (Grant(role=Role.VIEWER, subject_team="ops", team="ops"), MODEL, True, "viewer-on-team"),
        (Grant(role=Role.VIEWER, subject_team="sales", team="ops"), MODEL, False, "no-grant"),
        (Grant(role=Role.VIEWER, team="ops"), MODEL, False, "no-grant"),
    ],
)
def test_a_grant_reaches_exactly_its_scope(
    grant: Grant, resource: Resource, allow: bool, rule: str
) -> None:
    decision = rbac.decide(ann_with(grant), Action.READ, resource)
    assert (decision.allow, decision.rule) == (allow, rule)


def test_a_grant_on_one_resource_does_not_reach_the_whole_kind() -> None:
    actor = ann_with(on_team(Role.ADMIN, "ops", "endpoint/delay"))
    assert not rbac.decide(actor, Action.READ, Resource(kind="endpoint", team="ops")).allow


def test_a_refusal_names_the_role_that_is_needed_and_the_one_held() -> None:
    decision = rbac.decide(ann_with(on_team(Role.VIEWER)), Action.DELETE, MODEL)
    assert decision.rule == "role-too-low"
    assert decision.reason == (
        "`ann` may not `delete` endpoint `delay` of team `ops`: this needs role `operator` on "
        "team `ops`, and `ann` has `viewer`"
    )


def test_a_permission_names_the_grant_that_gave_it() -> None:
    decision = rbac.decide(ann_with(on_team(Role.ADMIN, None)), Action.MANAGE_TEAMS, PLATFORM)
    assert decision.reason == (
        "`ann` may `manage-teams` any team of the platform: role `admin` on the platform"
    )


@pytest.mark.parametrize(
    ("held", "given_role", "allow"),
    [
        (Role.OPERATOR, Role.OPERATOR, True),
        (Role.OPERATOR, Role.VIEWER, True),
        (Role.OPERATOR, Role.ADMIN, False),
        (Role.CONTRIBUTOR, Role.VIEWER, False),
        (Role.ADMIN, Role.ADMIN, True),
    ],
)
def test_nobody_grants_more_than_they_hold(held: Role, given_role: Role, allow: bool) -> None:
    grant = Grant(role=given_role, principal="p_bob", team="ops")
    assert rbac.decide_grant(ann_with(on_team(held)), grant).allow is allow


def test_nobody_grants_beyond_their_team() -> None:
    everywhere = Grant(role=Role.VIEWER, principal="p_bob")
    assert not rbac.decide_grant(ann_with(on_team(Role.ADMIN)), everywhere).allow


@given(grants=_GRANTS, action=st.sampled_from(Action), team=st.none() | _TEAMS)
def test_a_role_never_allows_less_than_the_one_before_it(
    grants: list[Grant], action: Action, team: str | None
) -> None:
    resource = Resource(kind="endpoint", team=team, name="delay")
    allowed = [
        rbac.decide(
            ann_with(*(grant.model_copy(update={"role": role}) for grant in grants)),
            action,
            resource,
        ).allow
        for role in Role
    ]
    assert allowed == sorted(allowed)


@given(grants=_GRANTS, principal=_PRINCIPALS, own=_TEAMS, team=_TEAMS)
def test_the_gateway_is_told_what_decide_would_say(
    grants: list[Grant], principal: str, own: str, team: str
) -> None:
    caller = Principal(id=principal, kind=PrincipalKind.SERVICE, name="caller", team=own)
    endpoint = Resource(kind="endpoint", team=team, name="delay")
    decision = rbac.decide(Actor(principal=caller, grants=tuple(grants)), Action.INVOKE, endpoint)
    principals, teams = rbac.callers_of(team, "delay", grants)
    assert decision.allow == (principal in principals or own in teams)
    assert list(principals) == sorted(set(principals))


@given(grants=_GRANTS, principal=_PRINCIPALS, own=_TEAMS, team=_TEAMS)
def test_the_gateway_is_told_who_may_write_as_decide_would_say(
    grants: list[Grant], principal: str, own: str, team: str
) -> None:
    caller = Principal(id=principal, kind=PrincipalKind.SERVICE, name="caller", team=own)
    models = Resource(kind="model", team=team)
    decision = rbac.decide(Actor(principal=caller, grants=tuple(grants)), Action.WRITE, models)
    principals, teams = rbac.writers_of(team, grants)
    assert decision.allow == (principal in principals or own in teams)
    assert list(principals) == sorted(set(principals))


@given(grants=_GRANTS, principal=_PRINCIPALS, own=_TEAMS, team=_TEAMS, role=st.sampled_from(Role))
def test_the_gateway_is_told_who_may_open_a_workspace_as_decide_would_say(
    grants: list[Grant], principal: str, own: str, team: str, role: Role
) -> None:
    caller = Principal(id=principal, kind=PrincipalKind.SERVICE, name="caller", team=own)
    # One on this workspace alone counts too.
    grants = [*grants, Grant(role=role, principal=principal, team=team, resource="workspace/lab")]
    lab = Resource(kind="workspace", team=team, name="lab")
    decision = rbac.decide(Actor(principal=caller, grants=tuple(grants)), Action.WRITE, lab)
    principals, teams = rbac.openers_of(team, "lab", grants)
    assert decision.allow == (principal in principals or own in teams)
    assert list(principals) == sorted(set(principals))
