"""Read off the rows what the gateway must know: routes, limits, credentials, keys."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from plinth.access.rbac import callers_of, writers_of
from plinth.control.context import Context
from plinth.control.endpoints.routing import in_effect, policy_of, protocol_of, routed
from plinth.control.preparation import socket_of
from plinth.control.secrets import secret_version
from plinth.control.workspaces.service import session_of
from plinth.control.workspaces.visits import visitors_of
from plinth.domain.access import PLATFORM_PRINCIPAL, Grant
from plinth.domain.run import Phase
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway.credentials import folder as credentials_folder
from plinth.gateway.state import GatewayState, WorkspaceRoute, Writers
from plinth.gateway.way_back import mark_of
from plinth.kit.files import read_json
from plinth.kit.home import Home
from plinth.store.endpoints import StoredEndpoint, list_endpoints
from plinth.store.identities import list_grants, list_revoked, list_teams
from plinth.store.runs import ActiveDeployment, list_active_deployments
from plinth.store.workspaces import list_workspaces


@dataclass(frozen=True, slots=True)
class Credential:
    """Which secret an external deployment of `endpoint` needs, and its newest version."""

    endpoint: str
    team: str
    secret: str
    version: int


@dataclass(frozen=True, slots=True)
class Rows:
    """What one reading of the rows says.

    By endpoint, `serving`: the deployments that callers are sent to, by name; `files`: the version
    of its file; `credentials`: by id of an external deployment, what it needs of the secrets.
    """

    state: GatewayState
    serving: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    credentials: dict[str, Credential] = field(default_factory=dict)


def read_rows(connection: Connection, context: Context) -> Rows:
    """Return the gateway's whole state as the rows say it now."""
    running: dict[str, list[ActiveDeployment]] = {}
    for each in list_active_deployments(connection):
        running.setdefault(each.endpoint, []).append(each)
    grants = [stored.grant for stored in list_grants(connection)]
    credentials: dict[str, Credential] = {}
    routes, serving, files = [], {}, {}
    for endpoint in list_endpoints(connection):
        runs = [each for each in running.get(endpoint.name, ()) if each.team == endpoint.team]
        ready = _ready(connection, context, endpoint, runs)
        routes.append(_route(context, endpoint, ready, runs, grants))
        serving[endpoint.name] = routed(endpoint)
        files[endpoint.name] = endpoint.version
        credentials |= {
            each.id: Credential(
                endpoint.name, endpoint.team, each.external.secret, each.secret_version
            )
            for each in ready
            if each.external is not None
            and each.external.secret is not None
            and each.secret_version is not None
        }
    home = context.home
    state = GatewayState(
        port=context.port,
        sockets=str(home.sockets),
        folder=str(home.gateway),
        access_log=str(home.gateway / "access.log"),
        endpoints=tuple(routes),
        jwks=context.keyring.public_jwks(),
        revoked=tuple(list_revoked(connection, context.clock.now())),
        platform=PLATFORM_PRINCIPAL,
        writers=tuple(_writers(team.name, grants) for team in list_teams(connection)),
        workspaces=tuple(_workspaces(connection, context, grants)),
        control_planes=_control_planes(home),
        # Made only where there is one: it is not below the home.
        credentials=str(credentials_folder(home.gateway)) if credentials else "",
        allow_private_upstreams=context.settings.allow_private_upstreams,
        mark=mark_of(os.uname().nodename, str(home.root), context.keyring.public_jwks()),
    )
    return Rows(state, serving, files, credentials)


def _route(
    context: Context,
    endpoint: StoredEndpoint,
    ready: tuple[Deployment, ...],
    runs: list[ActiveDeployment],
    grants: list[Grant],
) -> EndpointRoute:
    principals, teams = callers_of(endpoint.team, endpoint.name, grants)
    candidates = (
        _hosted(context, each, each.deployment)
        for each in runs
        if each.phase is Phase.STARTING and each.id not in endpoint.serving.values()
    )
    return EndpointRoute(
        name=endpoint.name,
        team=endpoint.team,
        protocol=protocol_of(in_effect(endpoint), context.runtimes),
        deployments=ready,
        candidates=tuple(candidates),
        policy=policy_of(endpoint),
        callers=principals,
        caller_teams=teams,
    )


def _ready(
    connection: Connection,
    context: Context,
    endpoint: StoredEndpoint,
    runs: Iterable[ActiveDeployment],
) -> tuple[Deployment, ...]:
    """Return the deployments that callers may be sent to; one without its credential is none."""
    by_id = {each.id: each for each in runs}
    files = in_effect(endpoint).by_name()
    found = []
    for name, deployment_id in routed(endpoint).items():
        external = files[name].external
        if external is None:
            if deployment_id in by_id:
                found.append(_hosted(context, by_id[deployment_id], name))
            continue
        version = None
        if external.secret is not None:
            version = secret_version(connection, endpoint.team, external.secret)
            if version is None:
                continue
        found.append(
            Deployment(id=deployment_id, name=name, external=external, secret_version=version)
        )
    return tuple(found)


def _hosted(context: Context, run: ActiveDeployment, name: str) -> Deployment:
    sockets = (socket_of(context, run.id, replica) for replica in range(run.replicas))
    upstreams = tuple(Upstream(socket=str(each)) for each in sockets)
    return Deployment(id=run.id, name=name, upstreams=upstreams)


def _control_planes(home: Home) -> tuple[str, ...]:
    """Return the units that `plinth up` started last, of which not all need run this code yet."""
    node = read_json(home.node_file) or {}
    return Home.control_planes(int(node.get("control_planes", 1)))


def _workspaces(
    connection: Connection, context: Context, grants: list[Grant]
) -> Iterable[WorkspaceRoute]:
    """Yield every workspace, with where it listens while it is open, and who may visit it."""
    for each in list_workspaces(connection):
        run = session_of(connection, each)
        is_open = run is not None and run.phase is Phase.RUNNING and each.desired == "run"
        socket = str(socket_of(context, run.id, 0)) if run is not None and is_open else None
        yield WorkspaceRoute(each.name, socket, *visitors_of(connection, each, grants))


def _writers(team: str, grants: list[Grant]) -> Writers:
    principals, teams = writers_of(team, grants)
    return Writers(team, principals, everybody=team in teams)
