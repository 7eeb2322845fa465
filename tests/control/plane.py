"""A whole control plane on a fake clock, with a real database and an engine in memory.

`make_plane()` gives one; `restart` drops everything in memory, as `kill -9` would.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, text

from plinth.access.keyring import ensure
from plinth.access.master_key import MasterKeyring
from plinth.control.builder import Builder
from plinth.control.context import Context
from plinth.control.endpoints.reconciler import EndpointReconciler
from plinth.control.endpoints.resolution import resolve
from plinth.control.endpoints.routing import routed
from plinth.control.endpoints.service import Applied, apply_endpoint
from plinth.control.gateway import GatewayReconciler, Published
from plinth.control.identities import make_first, make_team
from plinth.control.loop import Loop
from plinth.control.metering import Metering
from plinth.control.openai_batches.reconciler import BatchReconciler
from plinth.control.planning import plan_or_refuse
from plinth.control.refusals import Refusals
from plinth.control.runs.reconciler import RunReconciler
from plinth.control.runs.service import submit_job
from plinth.control.status import Parts
from plinth.control.tracking import TrackingKeeper
from plinth.control.workspaces.probe import Seen, Silent
from plinth.control.workspaces.reconciler import WorkspaceReconciler
from plinth.control.workspaces.service import bring_up
from plinth.domain.access import Actor
from plinth.domain.model import CodeOrigin, ModelVersion
from plinth.domain.platform import Platform
from plinth.domain.usage import Meter, UsageRecord
from plinth.domain.workload import Endpoint, Job
from plinth.domain.workload_fields import ModelName
from plinth.domain.workspace import Workspace
from plinth.environments.environments import BuiltEnvironment
from plinth.environments.spec import EnvironmentSpec
from plinth.kit.clock import FakeClock
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.metering.ledger import Ledger
from plinth.runtimes.runtime import Runtime, load_runtimes
from plinth.storage.files import Storage
from plinth.store.endpoints import StoredEndpoint, find_endpoint, list_endpoints
from plinth.store.identities import load_actor
from plinth.store.runs import Attempt, StoredRun, find_run, list_attempts
from plinth.store.session import Database, engine_of
from plinth.store.workspaces import StoredWorkspace, find_workspace
from plinth.tracking.mlflow import TrackedRun, Tracking
from plinth.units.client import AgentClient
from tests.contracts.fake_engine import FakeEngine, World

STEP_S = 0.25
THREADS = 8
TEAM = "research"


class FakeBuilder:
    """Environments that are there at once; `error` is raised instead while it is set."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.error: BaseException | None = None

    def need(self, spec: EnvironmentSpec, _label: str) -> BuiltEnvironment:
        if self.error is not None:
            raise self.error
        folder = self._root / spec.digest
        return BuiltEnvironment(spec.digest, folder, folder / "bin" / "python")

    def fetch(
        self, folder: Path, _label: str, download: Callable[[], object], *, what: str = ""
    ) -> None:
        if not folder.exists():
            download()

    def progress(self) -> dict[str, str]:
        return {}

    def stop(self) -> None:
        """There is nothing to stop."""


@dataclass
class FakeTracking:
    """MLflow's part in memory: it outlives the control plane. `error`: raised by every call."""

    runs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    logged: dict[tuple[str, str], TrackedRun] = field(default_factory=dict)
    histories: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    finished: dict[str, list[str]] = field(default_factory=dict)
    workspaces: set[str] = field(default_factory=set)
    models: dict[tuple[str, str], list[ModelVersion]] = field(default_factory=dict)
    requirements: str = "scikit-learn==1.8.0\n"
    traces: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    spans: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    error: BaseException | None = None

    def ready(self) -> None:
        self._check()

    def close(self) -> None:
        """There is nothing to close."""

    def ensure_workspace(self, team: str) -> None:
        self._check()
        self.workspaces.add(team)

    def ensure_run(self, team: str, experiment: str, run_id: str, tags: Mapping[str, str]) -> str:
        self._check()
        self.tags[run_id] = dict(tags)
        return self.runs.setdefault(run_id, f"m{len(self.runs)}")

    def finish_run(
        self, team: str, run: str, status: str, *, ended_at: datetime | None = None
    ) -> None:
        self._check()
        if run not in self.runs.values():
            raise NotFound(f"MLflow has no run {run}")
        self.finished.setdefault(run, []).append(status)

    def describe_run(self, team: str, tracking_run: str) -> TrackedRun:
        self._check()
        if (team, tracking_run) not in self.logged:
            raise NotFound(f"team `{team}` has no run {tracking_run} in MLflow")
        return self.logged[team, tracking_run]

    def metric_history(self, team: str, tracking_run: str, name: str) -> list[tuple[float, float]]:
        self._check()
        return self.histories.get((tracking_run, name), [])

    def experiment_id(self, team: str, name: str) -> str | None:
        self._check()
        return f"e-{name}"

    def search_traces(self, team: str, experiment: str, limit: int) -> list[dict[str, Any]]:
        self._check()
        return self.traces.get(experiment, [])[:limit]

    def find_trace(self, team: str, trace_id: str) -> dict[str, Any]:
        self._check()
        for each in (one for found in self.traces.values() for one in found):
            if each["trace_id"] == trace_id:
                return each
        raise NotFound(f"there is no trace `{excerpt(trace_id)}`")

    def trace_spans(self, team: str, trace_id: str) -> list[dict[str, Any]]:
        self._check()
        if trace_id not in self.spans:
            raise NotFound("Trace data not stored in tracking store")
        return self.spans[trace_id]

    def add_trace(self, experiment: str, info: dict[str, Any]) -> None:
        """Have one with no steps."""
        self.traces.setdefault(experiment, []).append(info)
        self.spans[info["trace_id"]] = []

    def log(self, team: str, tracking_run: str, **logged: Any) -> None:
        """Say what MLflow knows of a run: `tags`, `parameters`, `metrics`."""
        nothing: dict[str, Any] = {"tags": {}, "parameters": {}, "metrics": {}}
        self.logged[team, tracking_run] = TrackedRun(**(nothing | logged))

    def add_model(
        self,
        team: str,
        name: str,
        aliases: tuple[str, ...] = (),
        tracking_run: str | None = None,
    ) -> ModelVersion:
        """Register the next version, which `tracking_run` logged."""
        versions = self.models.setdefault((team, name), [])
        number = len(versions) + 1
        uri = f"mlflow-artifacts:/{name}/{number}"
        kept = [
            each.model_copy(update={"aliases": tuple(set(each.aliases) - set(aliases))})
            for each in versions
        ]
        made = ModelVersion(
            team=team,
            name=name,
            version=number,
            artifact_uri=uri,
            tracking_run_id=tracking_run,
            aliases=aliases,
        )
        versions[:] = [*kept, made]
        return made

    def resolve_model(self, team: str, name: ModelName) -> ModelVersion:
        self._check()
        for version in self.models.get((team, name.name), []):
            if version.version == name.version or name.alias in version.aliases:
                return version
        raise NotFound(f"team `{excerpt(team)}` has no model `{excerpt(name.name)}`")

    def list_models(self, team: str) -> list[ModelVersion]:
        self._check()
        return [
            each for (owner, _), found in self.models.items() if owner == team for each in found
        ]

    def models_of_run(self, team: str, tracking_run: str) -> list[ModelVersion]:
        found = self.list_models(team)
        return [each for each in found if each.tracking_run_id == tracking_run]

    def download_model(self, team: str, version: ModelVersion, folder: Path) -> Path:
        self._check()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "requirements.txt").write_text(self.requirements)
        return folder

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


class Plane:
    """One control plane; the world, the clock, MLflow and the files outlive its restarts."""

    def __init__(
        self, home: Home, open_store: Callable[[Path], Database], threads: int = THREADS
    ) -> None:
        self.clock = FakeClock()
        self._open_store = open_store
        self._threads = threads
        self.world = World(self.clock)
        self.tracking = FakeTracking()
        self.builder = FakeBuilder(home.environments)
        self.home = home
        self.why_not: dict[str, str | None] = {}
        self.not_ready: str | None = None
        self.published: Published | None = Published("v", {}, frozenset(), {})
        self.gateway_lags = False
        # Which of the gateway's reconcilers, a new one after each restart, was told so.
        self._told: GatewayReconciler | None = None
        self.hints = 0
        # What workspaces say of themselves; None: nothing.
        self.seen: Seen | None = Seen(active_at=self.clock.now())
        # Keys whose WebSockets workspaces were told to close.
        self.sent_away: list[str] = []
        self._open()
        if home.admin_token.exists():
            return  # It is a copy of a home that has them.
        make_first(self.context)
        with self.write() as connection:
            make_team(connection, self.context, TEAM, created_by="admin")

    def _open(self) -> None:
        home = self.home
        self.database = self._open_store(home.database)
        self.context = Context(
            settings=Settings(),
            home=home,
            port=1,
            clock=self.clock,
            database=self.database,
            ledger=Ledger(home.ledger, self.clock),
            keyring=ensure(home.secrets, self.clock.now()),
            master_key=MasterKeyring(home.secrets, self.clock),
            agent=AgentClient(home.socket("agent")),
            engine=FakeEngine(self.world),
            builder=cast("Builder", self.builder),
            storage=Storage(home.storage.as_uri()),
            tracking=cast("Tracking", self.tracking),
            runtimes=dict(_runtimes()),
            platforms=self.platforms,
            hint=self._hint,
        )
        self.gateway = GatewayReconciler(self.context)
        self.parts = Parts(
            gateway=self.gateway,
            tracking=TrackingKeeper(self.context),
            metering=Metering(self.context),
            refusals=Refusals(self.context),
            periodic=(),
        )
        self.runs = RunReconciler(self.context, self._ready, self._probe)
        self.workspaces = WorkspaceReconciler(
            self.context, lambda _name: not self.gateway_lags, self._probe, self._send_away
        )
        self.endpoints = EndpointReconciler(self.context, lambda: self.published)
        self.loop = Loop(
            self.database,
            self.clock,
            (self.runs, self.endpoints, BatchReconciler(self.context), self.workspaces),
            threads=self._threads,
        )

    def platforms(self) -> tuple[Platform, ...]:
        engine = FakeEngine(self.world)
        capability = engine.capability
        return (
            Platform(
                name="local",
                description="This machine",
                capability=capability.model_copy(update={"networks": ("gateway", "open")}),
                offers=engine.offers(),
                source="test",
            ),
        )

    def _hint(self) -> None:
        self.hints += 1

    def _probe(self, _socket: Path) -> Seen:
        if self.seen is None:
            raise Silent("it does not answer")
        return self.seen

    def _ready(self, run: StoredRun) -> str | None:
        return self.why_not.get(run.id, self.not_ready)

    def restart(self) -> None:
        """Lose everything in memory, and begin again from the database."""
        self.close()
        self._open()
        self.loop.release()

    def close(self) -> None:
        """Close the files and the threads."""
        self.loop.close()
        self.context.ledger.close()
        self.database.close()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self.database.write() as connection:
            yield connection

    def actor(self) -> Actor:
        """Return the local administrator."""
        token = self.home.admin_token.read_text()
        claims = self.context.claims_of(token)
        assert claims is not None
        with self.database.read() as connection:
            actor = load_actor(connection, claims.principal, claims.key_id)
        assert actor is not None
        return actor

    # -- driving ---------------------------------------------------------------------------------

    def step(self, seconds: float = STEP_S) -> int:
        """Let time pass, and work on what is due."""
        self.clock.advance(seconds)
        self.sync_gateway()
        return self.loop.step()

    def sync_gateway(self) -> None:
        """Say that the gateway has taken over what the rows say, unless it lags."""
        if self.gateway_lags:
            return
        with self.database.read() as connection:
            endpoints = list_endpoints(connection)
        serving = {each.name: routed(each) for each in endpoints}
        files = {each.name: each.version for each in endpoints}
        published = Published("v", serving, frozenset(), files)
        if published != self.published or self._told is not self.gateway:
            self._told = self.gateway
            self.gateway.note(published)
        self.published = published

    def until(self, holds: Callable[[], bool], most: int = 200) -> None:
        """Step until it holds."""
        for _ in range(most):
            if holds():
                return
            self.step()
        raise AssertionError(f"not after {most} steps: {self.describe()}")

    def describe(self) -> list[Any]:
        with self.database.read() as connection:
            rows = connection.exec_driver_sql(
                "select id, phase, reason, message from run where deleted_at is null "
                "order by created_at, id"
            )
            return [tuple(row) for row in rows]

    # -- jobs ------------------------------------------------------------------------------------

    def submit(
        self, *, by: Actor | None = None, origin: CodeOrigin | None = None, **fields: Any
    ) -> str:
        """Submit a job, whose code came from `origin`, as `by` (the admin); return its id."""
        job = Job.model_validate(
            {"kind": "job", "name": "train", "team": TEAM, "command": ["python", "x.py"], **fields}
        )
        plan = plan_or_refuse(self.context, job)
        with self.write() as connection:
            run = submit_job(
                connection,
                self.context,
                by or self.actor(),
                job,
                plan=plan,
                code_digest=None,
                code=origin,
            )
        return run.id

    def run(self, run_id: str) -> StoredRun:
        with self.database.read() as connection:
            return find_run(connection, run_id)

    def attempts(self, run_id: str) -> list[Attempt]:
        with self.database.read() as connection:
            return list_attempts(connection, [run_id])

    def reasons(self, subject: str) -> list[str]:
        with self.database.read() as connection:
            rows = connection.execute(
                text("select reason from event where subject = :subject order by id"),
                {"subject": subject},
            )
            return [row[0] for row in rows]

    def live_keys(self, run_id: str) -> int:
        with self.database.read() as connection:
            query = (
                "select count(*) from key join run on run.principal = key.principal "
                "where run.id = :run_id and key.revoked_at is null"
            )
            return int(connection.execute(text(query), {"run_id": run_id}).scalar_one())

    # -- endpoints -------------------------------------------------------------------------------

    def apply(self, **fields: Any) -> Applied:
        """Apply an endpoint's file as the API does; the model is registered if there is none."""
        workload = endpoint_of(**fields)
        team = workload.team or TEAM
        if (team, "m") not in self.tracking.models:
            self.tracking.add_model(team, "m", ("champion",))
        hosted = resolve(self.context, workload).hosted
        with self.write() as connection:
            return apply_endpoint(connection, self.context, self.actor(), workload, hosted)

    def respond(self, response_id: str, **fields: Any) -> UsageRecord:
        """Write into the ledger that endpoint `delay` answered a request just now."""
        found = self.endpoint()
        assert found is not None
        now = self.clock.now()
        served: dict[str, Any] = {
            "meter": Meter.REQUESTS,
            "quantity": 1.0,
            "team": "default",
            "workload": "endpoint/delay",
            "principal": "admin",
            "run": next(iter({**found.next, **found.serving}.values())),
            "request_id": response_id,
            "started_at": now,
            "ended_at": now,
        }
        record = UsageRecord(source="test", position=response_id, **(served | fields))
        cursor = self.context.ledger.cursor("test")
        self.context.ledger.commit("test", [record], expected=cursor, cursor=response_id)
        return record

    def _send_away(self, _socket: Path, keys: Sequence[str]) -> None:
        self.sent_away += keys

    def open(self, name: str = "lab", *, by: Actor | None = None, **fields: Any) -> StoredWorkspace:
        """Write the intent to have a workspace open, as the API does."""
        workload = Workspace.model_validate(
            {"kind": "workspace", "name": name, "team": TEAM, **fields}
        )
        plan = plan_or_refuse(self.context, workload)
        with self.write() as connection:
            return bring_up(connection, self.context, by or self.actor(), workload, plan)

    def workspace(self, name: str = "lab") -> StoredWorkspace | None:
        with self.database.read() as connection:
            return find_workspace(connection, name)

    def says(self, **fields: Any) -> None:
        """Have workspaces say this of themselves from now on."""
        known = {} if self.seen is None else self.seen.model_dump()
        self.seen = Seen.model_validate({**known, "active_at": self.clock.now(), **fields})

    def endpoint(self, name: str = "delay") -> StoredEndpoint | None:
        with self.database.read() as connection:
            return find_endpoint(connection, name)

    def serves(self, run: str) -> bool:
        found = self.endpoint()
        return found is not None and run in found.serving.values()


def endpoint_of(**fields: Any) -> Endpoint:
    """Return an endpoint's file as a value."""
    what = {} if {"deployments", "external"} & fields.keys() else {"model": "models:/m@champion"}
    return Endpoint.model_validate(
        {"kind": "endpoint", "name": "delay", "team": TEAM, **what, **fields}
    )


@cache
def _first_engine() -> Engine:
    engine = create_engine("sqlite://")
    engine.connect().close()  # It asks SQLite for its version, which statements depend on.
    engine.dispose()
    return engine


def open_database(path: Path) -> Database:
    """Open a database that does not wait for the disk: a test's machine does not lose power."""
    database = Database(path)
    engine, writer = engine_of(database), database._driver.writer
    # Else each test compiles every statement anew: a sixth of its time.
    first = _first_engine()
    for each in (engine, writer):
        each.dialect, each._compiled_cache = first.dialect, first._compiled_cache
    event.listen(
        engine,
        "connect",
        lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"),
    )
    return database


@cache
def _runtimes() -> Mapping[str, Runtime]:
    # Reading their files takes as long as the rest of a plane.
    return load_runtimes()


@cache
def _template() -> Path:
    # Migrating costs more than a whole test.
    path = Path(tempfile.mkdtemp(prefix="pl-")) / "template.db"
    database = open_database(path)
    database.migrate()
    database.close()
    return path


@cache
def template_home() -> Path:
    """Return a home as a control plane leaves it that has just begun."""
    # Keys, the first rows and an empty ledger cost more than many a test.
    home = Home(Path(tempfile.mkdtemp(prefix="pl-")))
    home.prepare()
    copy_template(home.database)
    Plane(home, open_database).close()
    return home.root


def copy_template(path: Path) -> None:
    """Put a database with the newest schema at `path`."""
    shutil.copyfile(_template(), path)


@contextmanager
def make_plane(
    open_store: Callable[[Path], Database] = open_database,
    threads: int = THREADS,
    template: Callable[[], Path] = template_home,
) -> Iterator[Plane]:
    """Give a control plane in a folder of its own.

    `open_store` opens the store, each time that it is restarted, given the home's SQLite file.
    With one of `threads`, the same calls lead to the same rows. `template`: gives the home that
    its own begins as a copy of.
    """
    root = Path(tempfile.mkdtemp(prefix="pl-"))
    home = Home(root)
    if open_store is open_database:
        shutil.copytree(template(), root, dirs_exist_ok=True)
    else:
        home.prepare()
        copy_template(home.database)
    plane = Plane(home, open_store, threads)
    try:
        yield plane
    finally:
        plane.close()
        shutil.rmtree(root, ignore_errors=True)
