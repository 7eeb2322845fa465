"""Verbs on the node; what starts processes belongs to the journeys."""

from __future__ import annotations

from typing import Any

import pytest

from plinth import __version__
from plinth.api import workspaces as api
from plinth.cli import node
from plinth.client.client import Client
from plinth.control.workspaces.service import Busy
from plinth.kit.errors import Conflict, Temporary, Unauthenticated
from plinth.kit.home import Home
from tests.cli.terminal import Terminal
from tests.control.workspaces.session import until_open


def test_the_version_is_printed(terminal: Terminal) -> None:
    assert terminal("version").out == f"{__version__}\n"


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5", "localhost.example"])
def test_what_is_not_loopback_is_refused(terminal: Terminal, address: str) -> None:
    said = terminal("up", "--bind", address)
    assert said.code == 1
    assert f"`--bind {address}` would open Plinth to the network" in said.err


def test_a_port_that_is_none_is_bad_usage(terminal: Terminal) -> None:
    for port in ("0", "65536", "x"):
        assert terminal("up", "--port", port).code == 2


def test_the_status_names_what_is_not_ready(terminal: Terminal) -> None:
    said = terminal("status")
    assert said.code == 1
    assert "error: not ready: the gateway, MLflow (waiting), the node agent" in said.err
    assert "hint: `plinth up --detach` starts what is missing" in said.err
    assert "address" in said.out
    assert terminal("status", "--json").json["units"] == []


def _no_answer(_client: Client, **_: Any) -> Any:
    raise Temporary("the server behind `control` does not answer (UF)", code="unavailable")


def _unit(name: str, phase: str) -> dict[str, Any]:
    empty = dict.fromkeys(("pid", "started_at", "memory_bytes", "isolation"))
    return {"id": name, "phase": phase, "restarts": 0, **empty}


@pytest.mark.parametrize(
    ("seen", "out", "error"),
    [
        (
            {"node": None, "units": [], "living": ["envoy", "r_1.0.1"]},
            ["envoy running", "r_1.0.1 running"],
            "not running: the node agent, the control plane",
        ),
        (
            {"node": None, "units": [], "living": []},
            [],
            "not running: the node agent, the control plane, the gateway",
        ),
        (
            {"node": {}, "units": [_unit("control", "starting"), _unit("envoy", "running")]},
            ["control Plinth itself starting - - 0 - -", "envoy Plinth itself running - - 0 - -"],
            "not running: the control plane",
        ),
        (
            {"node": {}, "units": [_unit("control-2", "running"), _unit("envoy", "running")]},
            ["control-2 Plinth itself running - - 0 - -", "envoy Plinth itself running - - 0 - -"],
            "the server behind `control` does not answer (UF)",
        ),
    ],
)
def test_the_status_without_a_control_plane_names_what_runs_and_what_does_not(
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    seen: dict[str, Any],
    out: list[str],
    error: str,
) -> None:
    monkeypatch.setattr(node, "_node", lambda _action, _home: {**seen, "started": True})
    monkeypatch.setattr(Client, "status", _no_answer)
    said = terminal("status")
    assert said.code == 1
    assert [" ".join(line.split()) for line in said.out.splitlines()[2:] if line.strip()] == out
    assert f"error: {error}\n" in said.err
    assert "hint: `plinth up --detach` starts what is missing and leaves what runs" in said.err


def test_running_jobs_keep_plinth_up(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def call(action: str, *_: Any) -> Any:
        calls.append(action)
        return {"stopped": 3}

    monkeypatch.setattr(node, "_node", call)
    run = terminal.service.plane.submit()
    said = terminal("down")
    assert (said.code, calls) == (1, [])
    assert run in said.err
    assert "--force" in said.err
    assert terminal("down", "--force", "--json").json == {"stopped": 3}


def test_a_running_batch_and_a_running_cell_keep_plinth_up(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []

    def busy(*_: Any) -> None:
        raise Busy("workspace `lab` is busy: a cell of `a.ipynb` runs")

    runs = [
        {"id": "r_1", "kind": "batch", "name": "score"},
        {"id": "r_2", "kind": "conversion", "name": "form"},
    ]
    monkeypatch.setattr(node, "_node", lambda _action, *_: {"stopped": 3})
    monkeypatch.setattr(Client, "stop_run", lambda _client, run: stopped.append(run))
    terminal("workspace", "up", "lab", "--detach")
    run = until_open(terminal.service.plane).run
    monkeypatch.setattr(api, "require_idle", busy)
    said = terminal("down")
    assert said.code == 1
    assert "error: workspace `lab` is busy: a cell of `a.ipynb` runs" in said.err
    monkeypatch.setattr(Client, "runs", lambda _client, **_: runs)
    said = terminal("down")
    assert "1 run would be stopped: batch score (r_1); workspace `lab` is busy" in said.err
    assert "a batch then goes on after the next `plinth up`" in said.err
    assert terminal("down", "--force").code == 0
    # By name it would have ended, and not go on.
    assert stopped == []
    monkeypatch.setattr(Client, "runs", lambda _client, **_: runs[1:])
    monkeypatch.setattr(api, "require_idle", lambda *_: None)
    assert terminal("down").code == 0
    shown = terminal("workspace", "get", "lab", "--json").json
    assert (shown["run"], shown["desired"]) == (run, "run")


def test_plinth_goes_down_by_force_also_where_no_stop_can_be_written(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_client: Client, _run: str) -> Any:
        raise Temporary("the disk is full", hint="free some space, then again")

    monkeypatch.setattr(node, "_node", lambda _action, *_: {"stopped": 3})
    monkeypatch.setattr(Client, "stop_run", refuse)
    terminal.service.plane.submit()
    said = terminal("down", "--force")
    assert said.code == 0, said.err
    assert "the disk is full: jobs that are stopped now will count as failed" in said.err


def test_what_is_in_the_way_of_going_down_is_looked_at_by_what_it_is() -> None:
    run: Any = {"kind": "job", "name": "train", "id": "r_1"}
    busy = ["workspace `lab` is busy: a cell of `a.ipynb` runs"]
    looks = {
        "`plinth logs -f NAME`": ([run], []),
        "`plinth workspace get NAME`": ([], busy),
        "`plinth logs -f NAME`, `plinth workspace get NAME`": ([run], busy),
    }
    for look, (runs, workspaces) in looks.items():
        with pytest.raises(Conflict) as said:
            node._require_nothing_runs(runs, workspaces)
        assert said.value.hint == f"wait ({look}), or `plinth down --force`"


def test_up_does_not_wait_for_ever_for_a_key_that_is_refused(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_client: Client) -> Any:
        raise Unauthenticated("this key was revoked")

    monkeypatch.setattr(Client, "status", refuse)
    monkeypatch.setattr(node, "_REFUSED_S", -1.0)
    with pytest.raises(Unauthenticated, match="this key was revoked") as said:
        node._wait_ready(Home(terminal.home), quiet=True)
    assert "`plinth down --force`" in (said.value.hint or "")


@pytest.mark.parametrize(
    ("workers", "words"), [(None, "running"), (0, "asleep"), (2, "running, 2 workers")]
)
def test_a_unit_says_how_many_workers_it_has(workers: int | None, words: str) -> None:
    assert node._phase_of({"phase": "running", "workers": workers}) == words
