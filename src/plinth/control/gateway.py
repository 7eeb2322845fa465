"""Publish to the gateway what the rows say; remember what it has acknowledged."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sqlalchemy import Connection

from plinth.access.rbac import callers_of, writers_of
from plinth.control.context import PLATFORM_PRINCIPAL, Context
from plinth.control.preparation import socket_of
from plinth.domain.access import Grant
from plinth.domain.run import Phase
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.domain.workload import Endpoint
from plinth.gateway.snapshot import GatewayState, render
from plinth.gateway.state import Writers
from plinth.gateway.xds import apply
from plinth.store.endpoints import StoredEndpoint, list_endpoints
from plinth.store.identities import list_grants, list_revoked, list_teams
from plinth.store.runs import StoredRun, list_runs


@dataclass(frozen=True, slots=True)
class Published:
    """What the gateway runs: the version, and what serves each endpoint."""

    version: str
    serving: dict[str, str | None]
    deployments: frozenset[str]


class GatewayReconciler:
    """Bring Envoy's configuration to what the rows say; called again and again."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._published: Published | None = None

    @property
    def published(self) -> Published | None:
        """What Envoy has acknowledged; None before the first time."""
        with self._lock:
            return self._published

    def deployments(self) -> frozenset[str]:
        """Return the deployments that Envoy routes to, candidates among them."""
        published = self.published
        return published.deployments if published is not None else frozenset()

    def publish(self) -> None:
        """Render the rows; when that is new, write it and wait until Envoy has it.

        Raises Temporary when Envoy does not answer, Permanent with its reason when it refuses;
        the configuration that runs stays as it is.
        """
        with self._context.database.read() as connection:
            state = self._state(connection)
        snapshot = render(state)
        published = self.published
        if published is not None and published.version == snapshot.version:
            return
        home = self._context.home
        apply(snapshot, home.gateway, home.socket("envoy-admin"))
        with self._lock:
            self._published = Published(
                version=snapshot.version,
                serving={
                    route.name: route.serving.id if route.serving else None
                    for route in state.endpoints
                },
                deployments=frozenset(
                    deployment.id
                    for route in state.endpoints
                    for deployment in (*route.candidates, *filter(None, [route.serving]))
                ),
            )
        self._context.hint()

    def _state(self, connection: Connection) -> GatewayState:
        context = self._context
        runs = list_runs(connection, kind="endpoint", active=True)
        grants = [stored.grant for stored in list_grants(connection)]
        routes = []
        for endpoint in list_endpoints(connection):
            principals, teams = callers_of(endpoint.team, endpoint.name, grants)
            serving, candidates = self._deployments(endpoint, runs)
            routes.append(
                EndpointRoute(
                    name=endpoint.name,
                    team=endpoint.team,
                    serving=serving,
                    candidates=tuple(candidates),
                    callers=tuple(principals),
                    caller_teams=tuple(teams),
                )
            )
        return GatewayState(
            port=context.port,
            sockets=str(context.home.sockets),
            folder=str(context.home.gateway),
            access_log=str(context.home.gateway / "access.log"),
            endpoints=tuple(routes),
            jwks=context.keyring.public_jwks(),
            revoked=tuple(list_revoked(connection, context.clock.now())),
            platform=PLATFORM_PRINCIPAL,
            writers=tuple(_writers(team.name, grants) for team in list_teams(connection)),
        )

    def _deployments(
        self, endpoint: StoredEndpoint, runs: list[StoredRun]
    ) -> tuple[Deployment | None, list[Deployment]]:
        serving, candidates = None, []
        for run in runs:
            if run.workload.name != endpoint.name or not isinstance(run.workload, Endpoint):
                continue
            deployment = Deployment(
                id=run.id,
                upstreams=tuple(
                    Upstream(socket=str(socket_of(self._context, run.id, replica)))
                    for replica in range(run.workload.replicas)
                ),
            )
            if run.id == endpoint.serving:
                serving = deployment
            elif run.phase is Phase.STARTING:
                candidates.append(deployment)
        return serving, candidates


def _writers(team: str, grants: list[Grant]) -> Writers:
    principals, teams = writers_of(team, grants)
    return Writers(team, principals, everybody=team in teams)
