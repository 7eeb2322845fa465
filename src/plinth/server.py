"""The control plane: the one place where its parts are chosen and put together.

`python -m plinth.server --home DIR` serves on file descriptor 3, which the unit's supervisor made.
"""

from __future__ import annotations

import argparse
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uv import find_uv_bin

from plinth.access.keyring import load
from plinth.api.app import create_app
from plinth.catalog.platforms import load_platforms
from plinth.control.builder import Builder
from plinth.control.context import Context
from plinth.control.endpoints.readiness import Readiness
from plinth.control.endpoints.reconciler import EndpointReconciler
from plinth.control.gateway import GatewayReconciler
from plinth.control.identities import make_first, platform_key
from plinth.control.loop import Loop, Periodic
from plinth.control.metering import Metering
from plinth.control.runs.reconciler import RunReconciler
from plinth.control.status import Parts
from plinth.control.tracking import TrackingKeeper
from plinth.domain.platform import Platform
from plinth.engines.local import LocalEngine
from plinth.environments.environments import Environments
from plinth.kit.clock import SystemClock
from plinth.kit.errors import Permanent
from plinth.kit.files import read_json
from plinth.kit.home import Home, find_home
from plinth.kit.log import set_up
from plinth.kit.settings import load_settings
from plinth.metering.ledger import Ledger
from plinth.runtimes.runtime import load_runtimes
from plinth.storage.files import Storage
from plinth.store.session import Database
from plinth.tracking.mlflow import Tracking
from plinth.units.client import AgentClient

log = logging.getLogger(__name__)

_LISTENING_DESCRIPTOR = 3


class ControlPlane:
    """All parts of one control plane; `start` and `stop` are called by its application."""

    def __init__(self, home: Home) -> None:
        node = read_json(home.node_file)
        if node is None:
            raise Permanent(f"`{home.root}` is no node", hint="`plinth up` makes it one")
        self._wakers: list[Loop | Periodic] = []
        agent = AgentClient(home.socket("agent"))
        engine = LocalEngine(agent, home)

        def platforms() -> tuple[Platform, ...]:
            return load_platforms(
                engine.offers(),
                engine.capability.isolation,
                local_networks=engine.capability.networks,
            )

        self.context = Context(
            home=home,
            settings=load_settings(home.root),
            port=int(node["port"]),
            clock=SystemClock(),
            database=Database(home.database),
            ledger=Ledger(home.ledger),
            keyring=load(home.secrets),
            agent=agent,
            engine=engine,
            builder=Builder(Environments(home.environments, find_uv_bin())),
            storage=Storage(home.storage.as_uri()),
            tracking=Tracking(home.socket("mlflow")),
            runtimes=load_runtimes(),
            platforms=platforms,
            hint=self._hint,
        )
        self.parts = self._make_parts(self.context)
        self._loop = self._make_loop(self.context, self.parts.gateway)
        self._wakers = [self._loop, *self.parts.periodic]

    def _make_parts(self, context: Context) -> Parts:
        gateway = GatewayReconciler(context)
        tracking = TrackingKeeper(context)
        metering = Metering(context)
        periodic = (
            Periodic("gateway", gateway.publish, 1.0),
            Periodic("tracking", tracking.keep, 1.0),
            Periodic("metering", metering.collect, 1.0),
        )
        return Parts(gateway=gateway, tracking=tracking, metering=metering, periodic=periodic)

    def _make_loop(self, context: Context, gateway: GatewayReconciler) -> Loop:
        readiness = Readiness(
            context, key=lambda: platform_key(context), published=gateway.deployments
        )
        reconcilers = (
            RunReconciler(context, readiness.why_not),
            EndpointReconciler(context, lambda: gateway.published),
        )
        return Loop(context.database, context.clock, reconcilers)

    def _hint(self) -> None:
        for waker in self._wakers:
            waker.hint()

    def start(self) -> None:
        """Bring the schema up to date, make the first identities, and begin to reconcile."""
        self.context.database.migrate()
        make_first(self.context)
        for waker in self._wakers:
            waker.start()
        log.info("the control plane of %s has started", self.context.home.root)

    def stop(self) -> None:
        """End the reconcilers; units go on without them."""
        for waker in self._wakers:
            waker.stop()
        self.context.builder.stop()
        self.context.tracking.close()
        self.context.ledger.close()
        self.context.database.close()

    def app(self) -> FastAPI:
        """Return the application that serves the API."""
        return create_app(self.context, self.parts, self.start, self.stop)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m plinth.server")
    parser.add_argument("--home", type=Path, required=True, help="the folder of this node")
    home = find_home({}, parser.parse_args(arguments).home)
    set_up()
    # One line for each request and each call to MLflow is the gateway's business, not this log's.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    threading.current_thread().name = "control"
    uvicorn.run(
        ControlPlane(home).app(),
        fd=_LISTENING_DESCRIPTOR,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
