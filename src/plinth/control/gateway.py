"""Publish to the gateway what the rows say; remember what it has acknowledged.

One control plane of a node publishes at a time; what it noted, in a file beside the gateway's, all
of them read.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from plinth.access.rbac import callers_of, writers_of
from plinth.control.context import PLATFORM_PRINCIPAL, Context
from plinth.control.duties import Duty
from plinth.control.preparation import socket_of
from plinth.domain.access import Grant
from plinth.domain.run import Phase
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.domain.workload import Endpoint
from plinth.gateway.snapshot import GatewayState, Snapshot, render
from plinth.gateway.state import Writers
from plinth.gateway.xds import apply, is_on_disk
from plinth.kit.errors import Permanent
from plinth.kit.files import read_json
from plinth.kit.home import Home
from plinth.store.endpoints import StoredEndpoint, list_endpoints
from plinth.store.identities import list_grants, list_revoked, list_teams
from plinth.store.runs import StoredRun, list_runs


@dataclass(frozen=True, slots=True)
class Published:
    """What the gateway runs: the version, and what serves each endpoint.

    `is_settled`: not while another version is being handed over, which it may run already.
    """

    version: str
    serving: dict[str, str | None]
    deployments: frozenset[str]
    is_settled: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "version": self.version,
            "serving": self.serving,
            "deployments": sorted(self.deployments),
            "is_settled": self.is_settled,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Published:
        """Read what `to_json` wrote."""
        return cls(**{**value, "deployments": frozenset(value["deployments"])})


class GatewayReconciler:
    """Bring Envoy's configuration to what the rows say; called again and again.

    With a duty, `publish` is called only while it is ours, and writes nothing after that.
    """

    def __init__(self, context: Context, duty: Duty | None = None) -> None:
        self._context = context
        self._duty = duty
        self._record = context.home.gateway_record
        # The term of the duty and the version for which Envoy's answer was seen.
        self._settled: tuple[int, str] | None = None

    @property
    def published(self) -> Published | None:
        """What Envoy has acknowledged, whoever published it; None before the first time."""
        try:
            return Published.from_json(json.loads(self._record.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            # It is not synced to the disk: after a power cut it may be empty. Another version of
            # Plinth may have noted more.
            return None

    @property
    def settled(self) -> Published | None:
        """What Envoy certainly runs; None when it may run something else by now."""
        published = self.published
        return published if published is not None and published.is_settled else None

    def note(self, published: Published) -> None:
        """Let every control plane of this node know what Envoy has acknowledged."""
        draft = self._record.with_name(f".{self._record.name}.{os.getpid()}.tmp")
        draft.write_text(json.dumps(published.to_json()))
        self._check_duty()
        draft.replace(self._record)

    def deployments(self) -> frozenset[str]:
        """Return the deployments that Envoy routes to, candidates among them."""
        published = self.published
        return published.deployments if published is not None else frozenset()

    def publish(self) -> None:
        """Render the rows; when that is new, write it and wait until Envoy has it.

        When the files are not those of what was published, it publishes anew: whoever had the
        duty before and was paused in the midst of a write may have replaced one.

        Raises Temporary when Envoy does not answer, or the duty is over; Permanent with its reason
        when Envoy refuses: the configuration that runs stays as it is.
        """
        with self._context.database.read() as connection:
            state = self._state(connection)
        snapshot = render(state)
        term = self._duty.term if self._duty is not None else 0
        if self._settled == (term, snapshot.version) and self._is_as_published(snapshot):
            return
        self._settled = None
        self._hand_over(snapshot)
        self.note(_published(state, snapshot.version))
        self._settled = (term, snapshot.version)
        self._context.hint()

    def _is_as_published(self, snapshot: Snapshot) -> bool:
        published, folder = self.settled, self._context.home.gateway
        return (
            published is not None
            and published.version == snapshot.version
            and is_on_disk(snapshot, folder)
        )

    def _hand_over(self, snapshot: Snapshot) -> None:
        home, before = self._context.home, self.published
        if before is not None:
            self.note(replace(before, is_settled=False))
        try:
            apply(snapshot, home.gateway, home.socket("envoy-admin"), fence=self._check_duty)
        except Permanent:
            # It was refused, and what ran before runs on.
            if before is not None:
                self.note(before)
            raise

    def _check_duty(self) -> None:
        if self._duty is not None:
            self._duty.check()

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
            control_planes=_control_planes(context.home),
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


def _published(state: GatewayState, version: str) -> Published:
    serving = {route.name: route.serving.id if route.serving else None for route in state.endpoints}
    deployments = frozenset(
        deployment.id
        for route in state.endpoints
        for deployment in (*route.candidates, *filter(None, [route.serving]))
    )
    return Published(version, serving, deployments)


def _control_planes(home: Home) -> tuple[str, ...]:
    """Return the units that `plinth up` started last, of which not all need run this code yet."""
    node = read_json(home.node_file) or {}
    return Home.control_planes(int(node.get("control_planes", 1)))


def _writers(team: str, grants: list[Grant]) -> Writers:
    principals, teams = writers_of(team, grants)
    return Writers(team, principals, everybody=team in teams)
