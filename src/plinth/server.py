"""The control plane: the one place where its parts are chosen and put together.

`python -m plinth.kit.launch plinth.server --home DIR` serves on file descriptor 3, which the
unit's supervisor made. Several may run on one node, each with a `--name` of its own
(docs/explanation/leases.md).
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uv import find_uv_bin

from plinth.access.keyring import load
from plinth.access.master_key import MasterKeyring
from plinth.api.app import create_app
from plinth.catalog.platforms import load_platforms
from plinth.control.builder import Builder
from plinth.control.context import Context
from plinth.control.duties import Duty, let_go
from plinth.control.endpoints.health import PERIOD_S as HEALTH_PERIOD_S
from plinth.control.endpoints.health import HealthWatch
from plinth.control.endpoints.readiness import Readiness
from plinth.control.endpoints.reconciler import EndpointReconciler
from plinth.control.gateway import GatewayReconciler
from plinth.control.identities import make_first, platform_key
from plinth.control.loop import Loop, Periodic
from plinth.control.metering import Metering
from plinth.control.openai_batches.reconciler import BatchReconciler
from plinth.control.openai_batches.service import purge_expired
from plinth.control.refusals import Refusals
from plinth.control.retention import PERIOD_S as RETENTION_PERIOD_S
from plinth.control.retention import Retention
from plinth.control.rotation import finish_rotation
from plinth.control.runs.reconciler import RunReconciler
from plinth.control.status import Parts
from plinth.control.tracking import TrackingKeeper
from plinth.control.workspaces.probe import Reach
from plinth.control.workspaces.reconciler import WorkspaceReconciler
from plinth.domain.platform import Platform
from plinth.engines.local import LocalEngine
from plinth.environments.environments import Environments
from plinth.kit.clock import SystemClock
from plinth.kit.errors import Invalid, Permanent, PlinthError, Temporary
from plinth.kit.files import read_json
from plinth.kit.home import CONTROL, Home, find_home
from plinth.kit.ids import digest_of
from plinth.kit.log import set_up
from plinth.kit.settings import load_settings
from plinth.metering.ledger import Ledger
from plinth.runtimes.runtime import load_runtimes
from plinth.storage.files import Storage
from plinth.store.leases import Holder
from plinth.store.session import Database
from plinth.tracking.mlflow import Tracking
from plinth.units.client import AgentClient

log = logging.getLogger(__name__)

_LISTENING_DESCRIPTOR = 3
# It goes into the token of each lease, which has 40 characters.
_NAME = re.compile(rf"{CONTROL}(-[0-9]{{1,2}})?")


def holder_name(home: Home, name: str) -> str:
    """Return what tells the control plane `name` of a home from every other one's.

    Raises Invalid for a name that no unit of a control plane has.
    """
    if not _NAME.fullmatch(name):
        raise Invalid(f"`{name}` names no control plane; `control`, `control-2` and so on do")
    place = digest_of(f"{os.uname().nodename}:{home.root}".encode())
    return f"{name}@{place[:8]}"


class ControlPlane:
    """All parts of one control plane; `start` and `stop` are called by its application."""

    def __init__(self, home: Home, name: str = CONTROL) -> None:
        node = read_json(home.node_file)
        if node is None:
            raise Permanent(f"`{home.root}` is no node", hint="`plinth up` makes it one")
        self._wakers: list[Loop | Periodic] = []
        agent = AgentClient(home.socket("agent"))
        engine = LocalEngine(agent, home)
        settings = load_settings(home.root)
        self._holder = Holder.begin(holder_name(home, name))

        def platforms() -> tuple[Platform, ...]:
            return load_platforms(
                engine.offers(),
                engine.capability.isolation,
                local_networks=engine.capability.networks,
            )

        self.context = Context(
            home=home,
            settings=settings,
            port=int(node["port"]),
            clock=SystemClock(),
            database=Database.of(home, settings),
            ledger=Ledger(home.ledger),
            keyring=load(home.secrets),
            master_key=MasterKeyring(home.secrets, SystemClock()),
            agent=agent,
            engine=engine,
            builder=Builder(Environments(home.environments, find_uv_bin())),
            storage=Storage(f"file://{home.storage}"),
            tracking=Tracking(home.socket("mlflow")),
            runtimes=load_runtimes(),
            platforms=platforms,
            hint=self._hint,
        )
        self.parts = self._make_parts(self.context)
        self._loop = self._make_loop(self.context, self.parts.gateway)
        self._wakers = [self._loop, *self.parts.periodic]

    def _make_parts(self, context: Context) -> Parts:
        publishing = self._duty("gateway")
        gateway = GatewayReconciler(context, publishing)
        tracking = TrackingKeeper(context, self._duty("tracking"))
        reading = self._duty("metering")
        metering = Metering(context, reading)
        refusals = Refusals(context)
        looking = self._duty("health")
        health = HealthWatch(context, lambda: gateway.published, looking.check)
        periodic = (
            Periodic("gateway", gateway.publish, 1.0, publishing),
            Periodic("tracking", tracking.keep, 1.0),
            Periodic("metering", metering.collect, 1.0, reading),
            Periodic(
                "retention",
                Retention(context).purge,
                RETENTION_PERIOD_S,
                self._duty("retention"),
            ),
            Periodic("health", health.look, HEALTH_PERIOD_S, looking),
            Periodic("refusals", refusals.flush, 10.0),
            Periodic(
                "files", lambda: purge_expired(context), RETENTION_PERIOD_S, self._duty("files")
            ),
        )
        return Parts(
            gateway=gateway,
            tracking=tracking,
            metering=metering,
            refusals=refusals,
            periodic=periodic,
        )

    def _duty(self, name: str) -> Duty:
        """Return a duty of this node: one of its control planes does it at a time."""
        node = self._holder.name.partition("@")[2]
        context = self.context
        lease_s = context.settings.lease_s
        return Duty(f"{name}@{node}", context.database, context.clock, self._holder, lease_s)

    def _make_loop(self, context: Context, gateway: GatewayReconciler) -> Loop:
        readiness = Readiness(
            context, key=lambda: platform_key(context), published=gateway.deployments
        )
        reconcilers = (
            RunReconciler(context, readiness.why_not),
            EndpointReconciler(context, lambda: gateway.settled),
            WorkspaceReconciler(context, Reach(context, lambda: platform_key(context)).is_reached),
            BatchReconciler(context),
        )
        return Loop(
            context.database,
            context.clock,
            reconcilers,
            holder=self._holder,
            lease_s=context.settings.lease_s,
        )

    def _hint(self) -> None:
        for waker in self._wakers:
            waker.hint()

    def start(self) -> None:
        """Bring the schema up to date, make the first identities, and begin to reconcile."""
        self.context.database.migrate()
        make_first(self.context)
        finish_rotation(self.context)
        let_go(self.context.database, self._holder)
        for waker in self._wakers:
            waker.start()
        log.info("%s of %s has started", self._holder, self.context.home.root)

    def stop(self) -> None:
        """End the reconcilers; units go on without them."""
        for waker in self._wakers:
            waker.stop()
        self.parts.refusals.close()
        try:
            let_go(self.context.database, self._holder)
        except Temporary as err:
            # Then another one has them when their leases end.
            log.warning("the duties were not given back: %s", err.message)
        self.context.builder.stop()
        self.context.tracking.close()
        self.context.ledger.close()
        self.context.database.close()

    def app(self) -> FastAPI:
        """Return the application that serves the API."""
        name = self._holder.name.partition("@")[0]
        return create_app(self.context, self.parts, self.start, self.stop, name=name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m plinth.kit.launch plinth.server")
    parser.add_argument("--home", type=Path, required=True, help="the folder of this node")
    parser.add_argument("--name", default=CONTROL, help="which control plane of the node it is")
    asked = parser.parse_args(arguments)
    set_up()
    # One line for each request and each call to MLflow is the gateway's business, not this log's.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    threading.current_thread().name = asked.name
    try:
        plane = ControlPlane(find_home({}, asked.home), asked.name)
        plane.context.database.check()
    except PlinthError as err:
        # Its supervisor starts it again: one line each time says why.
        log.error("%s; %s", err.message, err.hint)
        sys.exit(1)
    uvicorn.run(
        plane.app(),
        fd=_LISTENING_DESCRIPTOR,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=5,
    )
