"""A whole Plinth of its own for journeys: agent, Envoy, control plane, MLflow.

One journey file starts one (`running_plinth` in a module-scoped fixture), as a start takes ten
seconds. Environments are shared by all homes: the home's folder of them is a link to the cache, so
that the builders' locks are the same files for everybody.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uv

from plinth.client.client import Client
from plinth.domain.workload import WORKLOAD, Endpoint, Job
from plinth.environments import BuiltEnvironment, Environments, EnvironmentSpec, this_python
from plinth.kit.archive import Archive, pack
from plinth.kit.errors import PlinthError
from plinth.kit.home import Home
from plinth.kit.plain_http import no_authorities
from plinth.runtimes.runtime import load_runtimes
from plinth.tracking.server import MLFLOW_VERSION, mlflow_packages
from tests.journeys.mlflow_template import put_empty_database
from tests.journeys.package_index import build_or_skip

WORKLOADS = Path(__file__).with_name("workloads")
FINAL = ("succeeded", "failed", "stopped")
# Other tests use the same two cores, and importing MLflow alone takes seconds on them.
PATIENCE_S = 90.0
# What the models of `workloads/train.py` need. With the server's own packages beside them, the job
# that trains and the server that serves share one environment.
MODEL_PACKAGES = (f"mlflow-skinny=={MLFLOW_VERSION}", "pandas")
SERVING_PACKAGES = (*MODEL_PACKAGES, *load_runtimes()["v2server"].packages)

Json = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def wait_for(seen: Callable[[], Any], what: str, *, within_s: float = PATIENCE_S) -> Any:
    """Poll until `seen()` is truthy and return that; fail after a deadline."""
    began = time.monotonic()
    while (waited_s := time.monotonic() - began) < within_s:
        value = seen()
        if value:
            return value
        # Each look is work for the control plane too: what takes long is looked at less often.
        time.sleep(0.05 if waited_s < 1 else 0.15)
    raise AssertionError(f"{what} did not happen in {within_s:.0f} s")


@contextmanager
def running_plinth(
    cache: Path, port: int, *, teams: Sequence[str] = (), folder: Path | None = None
) -> Iterator[Plinth]:
    """Start Plinth in a home of its own for a block, or in an empty `folder`; leave no process."""
    mlflow, _ = _prepare(cache)
    home = Home(folder or Path(tempfile.mkdtemp(prefix="pl-")))
    home.environments.symlink_to(cache)
    if folder is None:
        put_empty_database(home, mlflow.python)
    plinth = Plinth(home, port)
    try:
        plinth.up()
        for team in teams:
            plinth.client.add_team(team)
        yield plinth
    finally:
        plinth.close()
        done = plinth.cli("down", "--force", check=False)
        assert done.code == 0, done.err


def _prepare(cache: Path) -> list[BuiltEnvironment]:
    """Build what every home needs before the first starts, to skip where there is no index."""
    environments = Environments(cache, uv.find_uv_bin())
    return [
        build_or_skip(environments, EnvironmentSpec(packages, this_python()))
        for packages in (mlflow_packages(), SERVING_PACKAGES)
    ]


class Plinth:
    """One node, spoken to as a person (`cli`), as a program (`client`) and as a caller (`http`)."""

    def __init__(self, home: Home, port: int) -> None:
        self.home = home
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self._code: Archive = pack(WORKLOADS)
        self._clients: list[Client | httpx.Client] = []
        self._admin: Client | None = None

    # -- as a person ----------------------------------------------------------------------------

    def cli(self, *arguments: str, check: bool = True, **variables: str) -> Done:
        """Run `plinth ARGUMENTS` to its end; with `check` it must succeed."""
        command = [sys.executable, "-m", "plinth.cli.main", *arguments]
        environment = {**os.environ, "PLINTH_HOME": str(self.home.root), **variables}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=300, check=False
        )
        answer = Done(done.returncode, done.stdout, done.stderr)
        assert not check or answer.code == 0, f"{arguments}: {answer.err}"
        return answer

    def up(self) -> Done:
        return self.cli("up", "--detach", "--port", str(self.port))

    def write(self, **fields: Any) -> str:
        """Write a workload's file beside the scripts' copies; return its path."""
        path = Path(tempfile.mkdtemp(prefix="pl-")) / f"{fields['name']}.yaml"
        path.write_text(
            json.dumps({"code": str(WORKLOADS)} | fields if fields["kind"] == "job" else fields)
        )
        return str(path)

    # -- as a program ---------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """The administrator's connection."""
        if self._admin is None:
            self._admin = self.client_of(self.home.admin_token.read_text())
        return self._admin

    def client_of(self, key: str) -> Client:
        self._clients.append(Client(self.address, key))
        return self._clients[-1]  # type: ignore[return-value]

    def key(self, team: str, *, role: str = "viewer", days: float = 1.0) -> str:
        made = self.client.create_key(team=team, name=f"{role}-key", role=role, days=days)
        return str(made["token"])

    def submit(self, name: str, *command: str, team: str = "default", **fields: Any) -> str:
        """Submit a job of the scripts in `workloads`; return the run's id."""
        declared = {"kind": "job", "name": name, "team": team, "command": command, **fields}
        job = WORKLOAD.validate_python(declared)
        assert isinstance(job, Job)
        self.client.put_code(self._code.digest, self._code.content, team=team)
        return str(self.client.submit(job, code_digest=self._code.digest)["id"])

    def run(self, name: str, *command: str, **fields: Any) -> Json:
        """Run a job to its end; return the run."""
        return self.ended(self.submit(name, *command, **fields))

    def ended(self, run_id: str) -> Json:
        def seen() -> Json | None:
            run = self.client.run(run_id)
            return run if run["phase"] in FINAL else None

        found: Json = wait_for(seen, f"the end of {run_id}")
        return found

    def log(self, run_id: str) -> str:
        return self.client.logs(run_id)[0].decode()

    def wait_for_line(self, run_id: str, text: str) -> None:
        wait_for(lambda: text in self.log(run_id), f"`{text}` in the log of {run_id}")

    def apply(self, name: str, model: str, *, team: str = "default", **fields: Any) -> Json:
        """Apply an endpoint; return the answer, before it is ready."""
        return self.client.apply(self.endpoint_of(name, team, model=model, **fields))

    def endpoint_of(self, name: str, team: str, **fields: Any) -> Endpoint:
        """Return an endpoint's file as a value."""
        declared = {"kind": "endpoint", "name": name, "team": team, **fields}
        endpoint = WORKLOAD.validate_python(declared)
        assert isinstance(endpoint, Endpoint)
        return endpoint

    def serve(self, name: str, model: str, **fields: Any) -> Json:
        """Apply an endpoint and wait until the new deployment serves; return the endpoint."""
        deployment = self.apply(name, model, **fields)["deployment"]

        def seen() -> Json | None:
            run = self.client.run(deployment)
            assert run["phase"] not in FINAL, run["message"]
            endpoint = self.client.endpoint(name)
            is_it = deployment in endpoint["serving"].values() and endpoint["ready"]
            return endpoint if is_it else None

        found: Json = wait_for(seen, f"endpoint {name} being ready")
        return found

    def train(self, team: str, *versions: str) -> Json:
        """Register versions of the model `scale`, in this order (see `workloads/train.py`)."""
        run = self.run(
            "train",
            *("python", "train.py", *versions),
            team=team,
            environment={"packages": SERVING_PACKAGES},
        )
        assert run["phase"] == "succeeded", self.log(run["id"])
        return run

    # -- as a caller ----------------------------------------------------------------------------

    def http(self, key: str | None = None) -> httpx.Client:
        """Return a client of the gateway with the key, or with none."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        client = httpx.Client(
            base_url=self.address,
            headers=headers,
            timeout=PATIENCE_S,
            trust_env=False,
            verify=no_authorities(),
        )
        self._clients.append(client)
        return client

    # -- its processes --------------------------------------------------------------------------

    def unit(self, unit: str) -> Json:
        """Return one living unit as `plinth status` shows it."""
        return self.units()[unit]

    def units(self) -> dict[str, Json]:
        """Return the living units by id, asked of the control plane."""
        units = self.client.status()["units"]
        return {u["id"]: u for u in units if u["phase"] in ("starting", "running")}

    def agent_pid(self) -> int:
        return int(self.client.status()["node"]["pid"])

    def identity(self, unit: str) -> Json:
        """Return which processes run a unit, from its folder: it needs no server."""
        found: Json = json.loads((self.home.units / unit / "identity.json").read_text())
        return found

    def pid_of(self, unit: str, who: str = "child") -> int:
        return int(self.identity(unit)[who]["pid"])

    def is_up(self) -> bool:
        """Tell whether every part answers."""
        try:
            seen = self.client.status()
        except PlinthError:
            return False
        return bool(seen["node"] and seen["gateway"]["ready"] and seen["tracking"]["ready"])

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients:
            client.close()


def kill(*pids: int) -> None:
    """Kill processes at the same moment, as nearly as it can be done."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not yet collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@dataclass
class Caller:
    """Sends one request after the other from a thread until it is told to stop.

    `answers`: what each was answered with (status and `y`), `ids`: each one's x-plinth-id.
    """

    client: httpx.Client
    endpoint: str
    answers: list[tuple[int, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Caller:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            try:
                self.call()
            except httpx.HTTPError as err:
                self.answers.append((0, repr(err)))

    def call(self) -> None:
        answer = infer(self.client, self.endpoint, 10.0)
        self.ids.append(answer.headers["x-plinth-id"])
        body = answer.json() if answer.status_code == 200 else answer.text
        is_right = answer.status_code == 200
        self.answers.append((answer.status_code, y_of(answer.json()) if is_right else body))

    @property
    def failed(self) -> list[tuple[int, Any]]:
        return [answer for answer in self.answers if answer[0] != 200]

    def wait_for_answers(self, count: int) -> None:
        """Wait until as many more were answered."""
        wanted = len(self.answers) + count
        wait_for(lambda: len(self.answers) >= wanted, f"{count} more answers")


def request(x: float) -> Json:
    """Return a V2 request for the model `scale`."""
    return {
        "inputs": [
            {"name": "x", "shape": [1], "datatype": "FP64", "data": [x]},
            {"name": "n", "shape": [1], "datatype": "INT64", "data": [1]},
        ]
    }


def infer(client: httpx.Client, endpoint: str, x: float) -> httpx.Response:
    return client.post(f"/v2/models/{endpoint}/infer", json=request(x))


def y_of(body: Json) -> float:
    return float(body["outputs"][0]["data"][0])
