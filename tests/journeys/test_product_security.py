"""What a real job can reach of the platform that runs it, and of the other teams' work: nothing."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plinth.units.isolation import best_level
from tests.journeys.plinth_node import Plinth, running_plinth, wait_for

needs_files = pytest.mark.skipif(
    best_level() < 2, reason=f"isolation level {best_level()} here; limits on files begin at 2"
)


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    with running_plinth(managed_environments, free_port(), teams=["red", "blue"]) as plinth:
        yield plinth


@pytest.fixture(scope="module")
def victim(plinth: Plinth) -> Iterator[str]:
    """Return the run of a job of team blue that is still running."""
    run = plinth.submit("victim", "python", "waits.py", team="blue")
    plinth.wait_for_line(run, "waiting")
    yield run
    plinth.client.stop_run(run)
    plinth.ended(run)


def intrude(plinth: Plinth, *attempts: tuple[str, str, Any]) -> dict[str, Any]:
    """Run the intruder as a job of team red; return its results and its run's id."""
    run = plinth.run("intruder", "python", "intruder.py", json.dumps(attempts), team="red")
    assert run["phase"] == "succeeded", plinth.log(run["id"])
    line = plinth.log(run["id"]).partition("results ")[2]
    found: dict[str, Any] = json.loads(line)
    assert len(found) == len(attempts) + 1
    return {**found, "run": run["id"]}


def told(results: dict[str, Any]) -> list[str]:
    return [name for name, found in results.items() if found == "done"]


def claims_of(key: str) -> dict[str, Any]:
    payload = key.removeprefix("plk_").split(".")[1]
    found: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return found


@needs_files
def test_a_job_reads_no_secret_no_database_and_no_other_run(plinth: Plinth, victim: str) -> None:
    home = plinth.home
    files = [
        *(path for path in home.secrets.rglob("*") if path.is_file()),
        home.database,
        home.ledger,
        home.node_file,
        home.root / "agent.log",
        home.gateway / "bootstrap.json",
        home.gateway / "access.log",
        home.tracking / "mlflow.db",
        home.runs / victim / "work" / "starts",
        *(path for unit in home.units.iterdir() for path in unit.iterdir() if path.is_file()),
    ]
    assert {home.admin_token, home.units / f"{victim}.0.1" / "spec.json"} <= set(files)
    folders = [
        *(home.secrets, home.sockets, home.units, home.runs, home.storage, home.root),
        home.runs / victim / "work",
    ]
    results = intrude(
        plinth,
        *((f"read {path}", "read", str(path)) for path in files),
        *((f"write {path}", "write", str(path)) for path in files),
        *((f"list {path}", "listing", str(path)) for path in folders),
    )
    assert told(results) == []


@needs_files
def test_a_job_sees_nothing_of_other_processes_environments(plinth: Plinth, victim: str) -> None:
    units = [*plinth.units(), f"{victim}.0.1"]
    processes = {
        f"{unit} {who}": plinth.pid_of(unit, who)
        for unit in units
        for who in ("child", "supervisor")
    } | {"agent": plinth.agent_pid()}
    results = intrude(
        plinth,
        *((f"environ {n}", "read", f"/proc/{pid}/environ") for n, pid in processes.items()),
        *((f"memory {n}", "read", f"/proc/{pid}/mem") for n, pid in processes.items()),
        *(
            (f"way in {n}", "read", f"/proc/{pid}/root{plinth.home.admin_token}")
            for n, pid in processes.items()
        ),
    )
    assert told(results) == []


@needs_files
def test_a_job_connects_to_no_socket_of_the_platform(plinth: Plinth, victim: str) -> None:
    sockets = {path.stem: str(path) for path in plinth.home.sockets.iterdir()}
    assert {"control", "mlflow", "agent", "envoy-admin"} <= set(sockets)
    results = intrude(plinth, *((name, "unix", path) for name, path in sockets.items()))
    assert told(results) == []


@needs_files
def test_a_job_reaches_the_gateway_and_no_other_port(
    plinth: Plinth, victim: str, free_port: Callable[[], int]
) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        results = intrude(
            plinth,
            ("gateway", "tcp", plinth.port),
            ("other", "tcp", other.getsockname()[1]),
        )
    if plinth.client.status()["node"]["isolation_level"] >= 3:
        assert told(results) == ["gateway"]
    assert results["gateway"] == "done"


def test_the_key_of_a_run_works_for_its_team_and_administers_nothing(
    plinth: Plinth, victim: str
) -> None:
    results = intrude(
        plinth,
        ("itself", "call", ["GET", "/api/v1/whoami"]),
        ("tracking", "call", ["GET", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=x"]),
        ("workspaces", "call", ["GET", "/api/3.0/mlflow/workspaces"]),
        ("new team", "call", ["POST", "/api/v1/teams"]),
        ("keys", "call", ["GET", "/api/v1/keys"]),
        ("stop itself", "call", ["POST", "/api/v1/runs/x/stop"]),
        ("victim", "call", ["GET", f"/api/v1/runs/{victim}"]),
        ("stop victim", "call", ["POST", f"/api/v1/runs/{victim}/stop"]),
        ("victim's log", "call", ["GET", f"/api/v1/runs/{victim}/logs"]),
        ("status", "call", ["GET", "/api/v1/status"]),
        ("log", "call", ["GET", "/api/v1/units/control/logs"]),
        ("candidate", "call", ["GET", "/internal/deployments/x/v2/models/x"]),
    )
    assert results.pop("itself") == 200
    # MLflow's own answer: the team has no such experiment.
    assert results.pop("tracking") == 404
    key, run = results.pop("key"), results.pop("run")
    assert results.pop("keys") in (200, 403, 404)
    assert all(status in (403, 404) for status in results.values()), results
    assert "intruders" not in [team["name"] for team in plinth.client.teams()]

    claims = claims_of(key)
    assert claims["t"] == "red"
    expires = datetime.fromtimestamp(claims["exp"], UTC)
    assert expires < datetime.now(UTC) + timedelta(days=2)
    assert plinth.client.run(run)["phase"] == "succeeded"
    # The run has ended, so its key holds no more: neither at the gateway nor behind it.
    caller = plinth.http(key)
    for path in ("/api/v1/whoami", "/v2/health/live"):
        wait_for(lambda path=path: caller.get(path).status_code == 401, f"the refusal at {path}")


def test_a_jobs_key_lists_no_keys(plinth: Plinth) -> None:
    key = plinth.key("red", role="contributor")
    caller = plinth.client_of(key)
    assert caller.keys() == []
    assert [team["name"] for team in caller.teams()] == ["red"]
    assert {run["team"] for run in caller.runs()} <= {"red"}


def test_only_envoy_listens_on_a_port_and_only_on_loopback(plinth: Plinth, victim: str) -> None:
    owners = {}
    for unit in (*plinth.units(), f"{victim}.0.1"):
        for who in ("child", "supervisor"):
            for descriptor in Path(f"/proc/{plinth.pid_of(unit, who)}/fd").iterdir():
                try:
                    owners[str(descriptor.readlink())] = unit
                except FileNotFoundError:
                    continue
    listening = {}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            unit = owners.get(f"socket:[{words[9]}]")
            if unit and words[3] in ("0A", "07"):
                listening.setdefault(unit, set()).add((table, words[1]))
    loopback = f"0100007F:{plinth.port:04X}"
    assert listening == {"envoy": {("tcp", loopback)}}


def test_a_model_server_cannot_be_reached_but_through_the_gateway(plinth: Plinth) -> None:
    for path in ("/internal/deployments/r_x/v2", "/config_dump", "/stats", "/metrics"):
        assert plinth.http(plinth.key("red")).get(path).status_code in (403, 404)
        assert plinth.http().get(path).status_code == 401
