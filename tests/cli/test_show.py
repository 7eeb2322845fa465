"""A plan, a run and an endpoint in full."""

from __future__ import annotations

from pathlib import Path

from tests.cli.terminal import Terminal


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
