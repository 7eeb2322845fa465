"""The node as a person starts, looks at and stops it. Tests run in their order, on one home."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.plinth_node import (
    Plinth,
    is_alive,
    kill,
    running_plinth,
)

SYSTEM = {"envoy", "control", "mlflow"}


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    with running_plinth(managed_environments, free_port()) as plinth:
        yield plinth


def pids(plinth: Plinth) -> dict[str, int]:
    return {unit: state["pid"] for unit, state in plinth.units().items()}


def refusal(plinth: Plinth, *arguments: str, **variables: str) -> str:
    """Return what a command that is refused says: one error with a hint, exit code 1."""
    done = plinth.cli(*arguments, check=False, **variables)
    assert done.code == 1, done.err
    assert done.err.startswith("error: ")
    assert "\nhint: " in done.err
    assert "Traceback" not in done.err
    return done.err


def test_status_shows_every_unit_with_age_restarts_and_memory(plinth: Plinth) -> None:
    seen = plinth.cli("status", "--json").json
    units = {unit["id"]: unit for unit in seen["units"]}
    assert set(units) == SYSTEM
    for unit in units.values():
        assert (unit["phase"], unit["restarts"]) == ("running", 0)
        assert unit["memory_bytes"] > 1_000_000
        assert unit["started_at"]
    assert seen["address"] == plinth.address
    assert seen["node"]["isolation_level"] >= 0
    table = plinth.cli("status").out
    for word in (*SYSTEM, "AGE", "RESTARTS", "MEMORY", plinth.address, str(plinth.home.root)):
        assert word in table


def test_what_is_written_can_be_read_by_its_owner_only(plinth: Plinth) -> None:
    for folder in plinth.home.folders():
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    secrets = [path for path in plinth.home.secrets.rglob("*") if path.is_file()]
    assert plinth.home.admin_token in secrets
    for path in (*secrets, *plinth.home.sockets.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_up_twice_says_that_it_runs_and_starts_nothing(plinth: Plinth) -> None:
    before = pids(plinth), plinth.agent_pid()
    again = plinth.cli("up", "--detach")
    assert f"runs already at {plinth.address}" in again.err
    assert (pids(plinth), plinth.agent_pid()) == before


def test_up_on_another_port_than_the_one_in_use_is_refused(plinth: Plinth) -> None:
    said = refusal(plinth, "up", "--detach", "--port", "9")
    assert f"runs on port {plinth.port}, not on 9" in said
    assert "`plinth down` first" in said


def test_a_taken_port_is_refused_and_leaves_nothing_running(plinth: Plinth) -> None:
    with tempfile.TemporaryDirectory(prefix="pl-") as home:
        said = refusal(plinth, "up", "--detach", "--port", str(plinth.port), PLINTH_HOME=home)
        assert f"port {plinth.port} cannot be used: Address already in use" in said
        assert "plinth up --port N" in said
        agent = (Path(home) / "agent.log").read_text()
        assert "ends" in agent
        down = plinth.cli("down", PLINTH_HOME=home)
        assert "no Plinth runs" in down.err


def test_a_home_that_cannot_be_written_is_refused(plinth: Plinth) -> None:
    with tempfile.NamedTemporaryFile(prefix="pl-") as file:
        said = refusal(plinth, "up", "--detach", "--home", f"{file.name}/home")
        assert f"`{file.name}/home` cannot be written: Not a directory" in said
        assert "plinth up --home DIR" in said
    if os.geteuid() != 0:
        said = refusal(plinth, "up", "--detach", "--home", "/plinth-home")
        assert "cannot be written: Permission denied" in said


def test_a_home_too_long_for_sockets_is_refused(plinth: Plinth) -> None:
    long = Path(tempfile.gettempdir()) / ("h" * 100)
    said = refusal(plinth, "up", "--detach", PLINTH_HOME=str(long))
    assert "Unix sockets below it allow" in said
    assert not long.exists()


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1"])
def test_binding_anything_but_loopback_is_refused(plinth: Plinth, address: str) -> None:
    said = refusal(plinth, "up", "--detach", "--bind", address)
    assert f"`--bind {address}` would open Plinth to the network" in said
    assert "ssh -L" in said


def test_a_home_that_was_never_started_says_how_to_start(plinth: Plinth) -> None:
    home = tempfile.mkdtemp(prefix="pl-")
    for verb in ("status", "list", "usage"):
        said = refusal(plinth, verb, PLINTH_HOME=home)
        assert f"no Plinth was started in `{home}`" in said
        assert "`plinth up --detach` starts it" in said
    assert "no Plinth runs" in plinth.cli("down", PLINTH_HOME=home).err


def test_down_is_refused_while_a_job_runs(plinth: Plinth) -> None:
    run = plinth.submit("waits", "python", "waits.py")
    plinth.wait_for_line(run, "waiting")
    before = pids(plinth)
    said = refusal(plinth, "down")
    assert f"1 run would be stopped: job waits ({run})" in said
    assert "plinth down --force" in said
    assert pids(plinth) == before
    plinth.client.stop_run(run)
    plinth.ended(run)


def test_down_ends_everything_and_up_brings_it_back_as_it_was(plinth: Plinth) -> None:
    key = plinth.key("default", role="contributor")
    run = plinth.run("hello", "python", "hello.py")
    before = {**pids(plinth), "agent": plinth.agent_pid()}
    supervisors = [plinth.pid_of(unit, "supervisor") for unit in SYSTEM]
    assert "stopped 3 units" in plinth.cli("down").err
    assert [pid for pid in (*before.values(), *supervisors) if is_alive(pid)] == []
    said = plinth.cli("status", check=False)
    assert said.code == 1
    assert f"nothing runs of `{plinth.home.root}`" in said.err
    assert "error: not running: the node agent, the control plane, the gateway" in said.err
    assert "`plinth up --detach` starts what is missing" in said.err
    assert "has started" in plinth.cli("logs", "control").out
    assert "no Plinth runs" in plinth.cli("down").err

    # The port is remembered.
    assert f"ready at {plinth.address}" in plinth.cli("up", "--detach").err
    assert set(plinth.units()) == SYSTEM
    assert plinth.client_of(key).run(run["id"])["phase"] == "succeeded"
    starts = (plinth.home.runs / run["id"] / "work" / "starts").read_text()
    assert starts == "attempt 1\n"


def test_two_ups_at_once_start_one_plinth_and_both_succeed(plinth: Plinth, tmp_path: Path) -> None:
    # What stands in the folder where somebody works is not Plinth's to run.
    for name in ("token", "random", "dis", "inspect"):
        (tmp_path / f"{name}.py").write_text('raise SystemExit("not yours")')
    program = str(Path(sys.executable).with_name("plinth"))
    environment = {**os.environ, "PLINTH_HOME": str(plinth.home.root)}
    down = (program, "down", "--force")
    subprocess.run(down, env=environment, cwd=tmp_path, check=True, capture_output=True)
    both = [
        subprocess.Popen(
            (program, "up", "--detach"),
            env=environment,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert set(plinth.units()) == SYSTEM
    assert all(unit["restarts"] == 0 for unit in plinth.units().values())


def test_down_ends_the_units_of_an_agent_that_was_killed(plinth: Plinth) -> None:
    before = pids(plinth)
    kill(plinth.agent_pid())
    plinth.cli("down", "--force")
    assert [pid for pid in before.values() if is_alive(pid)] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_without_detach_stays_until_it_is_asked_to_end(plinth: Plinth, number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "plinth.cli.main", "up"],
        env={**os.environ, "PLINTH_HOME": str(plinth.home.root)},
        stderr=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stderr is not None
        # Once while it is still starting, once when it is ready.
        awaited = "waiting for MLflow" if number == signal.SIGINT else "Ctrl-C stops it"
        assert any(awaited in line for line in up.stderr)
        before = [plinth.pid_of(unit) for unit in ("control", "envoy")]
        up.send_signal(number)
        said = up.stderr.read()
    assert up.returncode == 0, said
    assert "stopping" in said
    assert [pid for pid in before if is_alive(pid)] == []
    # Nothing holds the port.
    socket.create_server(("127.0.0.1", plinth.port)).close()
