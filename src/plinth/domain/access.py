"""Who may do what: principals, teams, roles, grants, and the decision."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from plinth.domain.base import Declared, TeamName

# The principal that checks a deployment before it serves.
PLATFORM_PRINCIPAL = "platform"


class Role(StrEnum):
    """Each role may do all that the ones before it may."""

    VIEWER = "viewer"
    CONTRIBUTOR = "contributor"
    OPERATOR = "operator"
    ADMIN = "admin"


class Action(StrEnum):
    """What can be asked of a resource."""

    READ = "read"
    INVOKE = "invoke"
    WRITE = "write"
    STOP = "stop"
    DELETE = "delete"
    MANAGE_KEYS = "manage-keys"
    MANAGE_GRANTS = "manage-grants"
    MANAGE_TEAMS = "manage-teams"
    OPERATE = "operate"


class PrincipalKind(StrEnum):
    """A person, a program with a key, or a run of ours."""

    USER = "user"
    SERVICE = "service"
    RUN = "run"


class Team(Declared):
    """The unit that owns workloads and is charged for them."""

    name: TeamName
    created_at: datetime


def workspace_of(team: str) -> str:
    """Return the name of the team's workspace in MLflow.

    Never MLflow's own workspace `default`: its artifacts lie above those of all others, and a path
    like `./workspaces/other/...` leads into them.
    """
    return f"team-{team}"


class Principal(Declared):
    """Who acts; `team` is charged for what it uses. `id` is at most 12 characters."""

    id: str
    kind: PrincipalKind
    name: str
    team: TeamName


class Resource(Declared):
    """What is acted upon. `team` None: the platform itself; `name` None: the whole kind."""

    kind: str
    team: str | None = None
    name: str | None = None


class Grant(Declared):
    """A role for a principal or for a whole team, on the platform, a team, or one resource.

    Exactly one of `principal` and `subject_team` is set. `team` None: the whole platform.
    `resource` is `kind/name` within `team`; None: everything of the team.
    """

    role: Role
    principal: str | None = None
    subject_team: str | None = None
    team: str | None = None
    resource: str | None = None


class Reach(Declared):
    """Of what somebody may see anything: whole teams, and single resources of others."""

    teams: tuple[TeamName, ...]
    resources: tuple[Resource, ...] = ()


class Actor(Declared):
    """A principal with the grants that hold for it now."""

    principal: Principal
    grants: tuple[Grant, ...]


class Decision(Declared):
    """Whether it is allowed, by which rule, and why in a sentence."""

    allow: bool
    rule: str
    reason: str
