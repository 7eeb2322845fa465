"""A plan, a run and an endpoint in full."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plinth.cli.show import health_of, share_of, troubles_of
from plinth.domain.run import WorkerTime
from tests.cli.terminal import Terminal
from tests.contracts.fake_engine import Replica
from tests.control.flows.stand import apply_flow, serves


def test_a_run_shows_its_facts_attempts_plan_and_history(
    terminal: Terminal, job_file: Path
) -> None:
    run = terminal("run", job_file, "-d", "--json").json["id"]
    terminal.service.plane.until(lambda: bool(terminal.service.plane.world.starts))
    terminal.service.plane.step()
    out = terminal("get", run).out
    words = (run, "research", "Attempts", "running", "Plan", "chosen", "History", "accepted")
    assert all(word in out for word in words)


def test_a_phase_is_not_said_twice(terminal: Terminal, job_file: Path) -> None:
    run = terminal("run", job_file, "-d", "--json").json["id"]
    terminal.service.plane.until(lambda: terminal.service.plane.run(run).phase == "running")
    assert "  phase       running\n" in terminal("get", run).out
    terminal.service.plane.world.end(f"{run}.0.1", 3)
    terminal.service.plane.until(lambda: terminal.service.plane.run(run).phase == "failed")
    assert "  phase       failed (exited with 3)\n" in terminal("get", run).out


def test_an_endpoint_without_a_deployment_that_serves_is_shown(
    terminal: Terminal, endpoint_file: Path
) -> None:
    terminal.service.plane.tracking.add_model("research", "m", ("champion",))
    terminal("apply", endpoint_file, "-d")
    out = terminal("get", "delay").out
    assert all(word in out for word in ("ready", "no", "Deployments", "m/1", "accepted"))


def test_how_the_model_of_a_deployment_answers_is_shown(
    terminal: Terminal, endpoint_file: Path
) -> None:
    plane = terminal.service.plane
    plane.tracking.add_model("research", "m", ("champion",))
    terminal("apply", endpoint_file, "-d")
    plane.until(lambda: bool(getattr(plane.endpoint(), "serving", {})))
    assert "main: answers as MLflow loads it: " in terminal("get", "delay").out


@pytest.mark.parametrize(
    ("share", "mirror", "words"),
    [
        (100.0, None, "100 %"),
        (None, None, "the rest"),
        (0, 100.0, "mirror 100 %"),
        (90.0, 5.0, "90 %, mirror 5 %"),
    ],
)
def test_a_deployment_that_gets_copies_only_has_no_share_of_nothing(
    share: float | None, mirror: float | None, words: str
) -> None:
    assert share_of({"share": share, "mirror": mirror}) == words


def test_a_server_elsewhere_that_does_not_answer_is_shown_with_what_to_do(
    terminal: Terminal,
) -> None:
    plane = terminal.service.plane
    plane.apply(name="chat", external={"url": "https://1.1.1.1/v1", "protocol": "openai"})
    plane.step()
    assert "unknown" in terminal("get", "chat").out
    ill = {"state": "unhealthy", "since": "2026-11-23T10:00:00+00:00", "why": "gone"}
    note = {"chat.main": ill}
    (plane.home.gateway / "health.json").write_text(json.dumps(note))
    out = terminal("get", "chat").out
    assert all(word in out for word in ("unhealthy for ", "gone", "main: look at the server"))
    listed = terminal("list").out
    assert "`main` is unhealthy: gone" in listed
    assert "running" not in listed


def test_the_state_of_a_deployment_of_our_own_is_its_phase() -> None:
    assert health_of({"health": None, "phase": "running"}) == "running"
    healthy = {"state": "healthy", "since": None, "why": "", "hint": None}
    assert health_of({"health": healthy}) == "healthy"
    assert troubles_of({"deployments": {"a": {"health": healthy}, "b": {"health": None}}}) == []


def asleep(terminal: Terminal) -> Replica:
    """Serve a flow of which no worker runs; return its host."""
    plane = terminal.service.plane
    run = str(apply_flow(plane, workers="0..4").deployment)
    plane.until(lambda: serves(plane, run))
    plane.step()
    return plane.world.replicas[f"{run}.0.1"]


def test_a_flow_that_sleeps_says_so_in_the_list_and_in_full(terminal: Terminal) -> None:
    host = asleep(terminal)
    assert "asleep" in terminal("list").out
    out = " ".join(terminal("get", "answers").out.split())
    assert "state asleep" in out
    assert "workers asleep: 0 of 4 workers run, which costs nothing" in out
    assert "flow `answers` is asleep" in terminal("usage").err
    host.workers = [WorkerTime(number=1, started_at=host.started_at)]
    terminal.service.plane.step(10)
    terminal.service.plane.step()
    out = " ".join(terminal("get", "answers").out.split())
    assert "state running" in out
    assert "workers 1 of 4 workers run" in out
    assert "asleep" not in terminal("usage").err
