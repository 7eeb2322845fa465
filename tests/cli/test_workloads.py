"""Verbs on workloads, from the file to what is printed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from plinth.cli import code
from plinth.cli.workloads import is_taken_over
from plinth.client.git import Origin
from plinth.control.published import Published, Refused
from plinth.domain.model import CodeOrigin
from tests.api.service import TEAM, Service
from tests.cli.terminal import Terminal
from tests.contracts.fake_engine import FakeEngine


def behave(service: Service, exit_code: int, output: bytes = b"hello\n") -> None:
    def end(world: object, unit: str) -> None:
        service.plane.world.replicas[unit].output = output
        service.plane.world.end(unit, exit_code)

    service.plane.world.behave = end


def test_a_job_is_run_and_its_output_followed(
    service: Service, terminal: Terminal, job_file: Path
) -> None:
    behave(service, 0)
    said = terminal("run", job_file)
    assert (said.code, said.out) == (0, "hello\n")
    assert "succeeded in" in said.err


def test_a_job_that_fails_ends_with_1(service: Service, terminal: Terminal, job_file: Path) -> None:
    behave(service, 3, b"oh\n")
    said = terminal("run", job_file)
    assert (said.code, said.out) == (1, "oh\n")
    assert "failed: exited with 3" in said.err
    assert "hint: `plinth get r_" in said.err


def test_every_attempts_output_is_printed(
    service: Service, terminal: Terminal, job_file: Path
) -> None:
    job_file.write_text(job_file.read_text() + "attempts: 2\n")
    behave(service, 3, b"oh\n")
    said = terminal("run", job_file)
    assert (said.code, said.out) == (1, "oh\noh\n")


def test_a_job_in_the_background_is_answered_at_once(
    service: Service, terminal: Terminal, job_file: Path
) -> None:
    said = terminal("run", job_file, "--detach", "--json")
    assert (said.code, said.json["phase"]) == (0, "pending")
    assert terminal("run", job_file, "-d").err.startswith("run `r_")
    behave(service, 0)
    assert terminal("run", job_file, "--json").json["phase"] == "succeeded"


def test_an_endpoint_is_applied_and_waited_for(
    service: Service, terminal: Terminal, endpoint_file: Path
) -> None:
    service.plane.tracking.add_model(TEAM, "m", ("champion",))
    said = terminal("apply", endpoint_file)
    assert (said.code, said.out) == (0, "")
    assert "endpoint `delay` serves m version 1 at http" in said.err
    assert terminal("apply", endpoint_file, "--json").json["ready"] is True
    assert terminal("apply", endpoint_file, "--detach").code == 0


def test_a_deployment_that_fails_is_told(
    service: Service, terminal: Terminal, endpoint_file: Path
) -> None:
    service.plane.tracking.add_model(TEAM, "m", ("champion",))
    behave(service, 3, b"Traceback\nerror: model `m` version `1` does not load: ValueError: no\n")
    said = terminal("apply", endpoint_file)
    assert said.code == 1
    assert "failed: the model does not load: ValueError: no\n" in said.err
    assert "hint: `plinth logs r_" in said.err
    assert "goes on serving" not in said.err
    service.plane.until(lambda: terminal("list", "--json").json["endpoints"][0]["next"] == {})
    (row,) = [line for line in terminal("list").out.splitlines() if "delay" in line]
    assert "deployment failed" in row
    assert "the model does not load: ValueError: no" in row


def test_what_serves_on_when_a_deployment_fails_is_told(
    service: Service, terminal: Terminal, endpoint_file: Path
) -> None:
    service.plane.tracking.add_model(TEAM, "m", ("champion",))
    serving = terminal("apply", endpoint_file, "--json").json["serving"]["main"]
    service.plane.tracking.add_model(TEAM, "m", ("champion",))
    behave(service, 3)
    assert f"; `{serving}` goes on serving\n" in terminal("apply", endpoint_file).err


def test_a_file_for_the_other_verb_is_refused_with_that_verb(
    terminal: Terminal, job_file: Path, endpoint_file: Path
) -> None:
    assert "hint: `plinth apply" in terminal("run", endpoint_file).err
    assert "hint: `plinth run" in terminal("apply", job_file).err


def test_what_there_is_is_listed_shown_stopped_and_deleted(
    service: Service, terminal: Terminal, job_file: Path, endpoint_file: Path
) -> None:
    assert "nothing yet" in terminal("list").err
    service.plane.tracking.add_model(TEAM, "m", ("champion",))
    terminal("apply", endpoint_file)
    run = terminal("run", job_file, "-d", "--json").json["id"]
    listed = terminal("list")
    assert all(word in listed.out for word in ("delay", "running", run, "job train", "pending"))
    both = terminal("list", "--json").json
    assert (len(both["endpoints"]), len(both["runs"])) == (1, 1)
    assert "Deployments" in terminal("get", "delay").out
    assert "Plan" in terminal("get", "train").out
    assert terminal("get", run, "--json").json["id"] == run
    assert terminal("get", "delay", "--json").json["ready"] is True
    assert f"run `{run}` stopped" in terminal("stop", "train").err
    assert terminal("delete", run).code == 1
    service.plane.until(lambda: service.plane.run(run).closed)
    assert terminal("delete", run, "--json").json == {"deleted": run}
    assert terminal("stop", "delay", "--json").json["reason"] == "Stopped"
    assert "endpoint `delay` deleted" in terminal("delete", "delay").err


def test_what_was_printed_is_printed(
    service: Service, terminal: Terminal, job_file: Path, endpoint_file: Path
) -> None:
    behave(service, 0, b"one\ntwo\n")
    terminal("run", job_file)
    assert terminal("logs", "train").out == "one\ntwo\n"
    assert terminal("logs", "train", "-f").out == "one\ntwo\n"
    assert terminal("logs", "train", "--attempt", "1").out == "one\ntwo\n"
    assert "no attempt 2" in terminal("logs", "train", "--attempt", "2").err
    service.plane.tracking.add_model(TEAM, "m", ("champion",))
    service.plane.world.behave = lambda _world, unit: None
    terminal("apply", endpoint_file)
    assert terminal("logs", "delay").code == 0
    folder = service.plane.home.units / "control"
    folder.mkdir()
    (folder / "log").write_text("started\n")
    assert terminal("logs", "control").out == "started\n"


def test_output_that_is_not_kept_any_more_is_said(
    service: Service, terminal: Terminal, job_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(service, 0)
    terminal("run", job_file)

    def trimmed(_self: object, _handle: object, offset: int, _limit: int) -> tuple[bytes, int]:
        return (b"of one\ntwo\n", 5_000_000) if offset < 5_000_000 else (b"", offset)

    monkeypatch.setattr(FakeEngine, "logs", trimmed)
    for options in ([], ["-f"]):
        said = terminal("logs", "train", *options)
        assert said.out == "two\n"
        assert "note: 5.0 MB before this are not kept" in said.err


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_code_from_a_work_tree_brings_its_commit_and_its_difference(
    service: Service, terminal: Terminal, job_file: Path
) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        command = ["git", *who, *arguments]
        return subprocess.check_output(command, cwd=job_file.parent, text=True).strip()

    before = terminal("run", job_file, "-d", "--json").json
    assert before["code"] is None
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "--message", "x")
    terminal.write("x.py", "changed")
    run = terminal("run", job_file, "-d", "--json").json
    code = run["code"]
    assert (code["commit"], code["branch"]) == (git("rev-parse", "HEAD"), "main")
    answer = service.call(
        service.admin, "GET", f"/diffs/{code['diff_digest']}", params={"team": TEAM}
    )
    assert b"+changed" in answer.content
    shown = terminal("get", run["id"]).out
    assert all(word in shown for word in (code["commit"], "main", code["diff_digest"]))
    terminal.write("new.py", "new")
    terminal.write(".env", "TOKEN=1")
    said = terminal("run", job_file, "-d", "--json")
    kept = f"keeps the difference to commit {code['commit'][:7]}: 1 changed and 1 untracked file "
    assert kept + "(`new.py`); list a file in `.gitignore` to leave it out" in said.err
    left_out = "the difference leaves out 1 untracked file named like a secret: `.env`"
    assert f"note: {left_out}" in said.err
    assert "named like a secret" in terminal("get", said.json["id"]).out


def test_a_difference_that_is_not_kept_is_said(
    terminal: Terminal, job_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = Origin(CodeOrigin(commit="a" * 40, note="the difference is not kept: it is large"))
    monkeypatch.setattr(code, "find_origin", lambda _folder: origin)
    said = terminal("run", job_file, "-d")
    assert "note: the difference is not kept: it is large" in said.err
    assert "not kept" in terminal("get", "train").out


def test_a_name_of_nothing_is_said(terminal: Terminal) -> None:
    for verb in ("get", "logs", "stop", "delete"):
        said = terminal(verb, "nothing")
        assert said.code == 1
        assert "no run, job, endpoint or workspace `nothing`" in said.err


SEVERAL = """\
kind: endpoint
name: delay
team: research
deployments:
  blue: {model: models:/m/1}
  green: {model: models:/m/2}
traffic: {blue: 90, green: 10}
"""
CHAT = """\
kind: endpoint
name: chat
team: research
external: {url: "https://1.1.1.1/v1", protocol: openai}
"""


def test_an_endpoint_with_several_deployments_is_waited_for_and_told_by_name(
    service: Service, terminal: Terminal, endpoint_file: Path
) -> None:
    for _ in range(2):
        service.plane.tracking.add_model(TEAM, "m", ("champion",))
    endpoint_file.write_text(SEVERAL)
    said = terminal("apply", endpoint_file)
    assert said.code == 0
    assert "endpoint `delay` serves `blue` (m/1, 90 %), `green` (m/2, 10 %) at http" in said.err
    shown = terminal("get", "delay").out
    for words in ("Deployments", "blue", "m/1", "90 %", "green", "10 %", "Runs", "of green, "):
        assert words in shown
    endpoint_file.write_text(SEVERAL.replace("blue: 90, green: 10", "green: 100"))
    moved = terminal("apply", endpoint_file, "--json").json
    assert [one["share"] for one in moved["deployments"].values()] == [0, 100]
    assert terminal("logs", "delay", "--deployment", "green").code == 0
    assert "it has `blue`, `green`" in terminal("logs", "delay", "--deployment", "red").err


def test_a_model_elsewhere_is_applied_at_once_and_has_no_log(
    terminal: Terminal, endpoint_file: Path
) -> None:
    endpoint_file.write_text(CHAT)
    said = terminal("apply", endpoint_file)
    assert (said.code, said.out) == (0, "")
    assert "endpoint `chat` serves what 1.1.1.1 has at http" in said.err
    assert said.err.rstrip().endswith("/v1")
    (row,) = [line for line in terminal("list").out.splitlines() if "chat" in line]
    assert "running" in row
    shown = terminal("get", "chat").out
    assert "openai address" in shown
    assert "azure-openai address" in shown
    assert "no server of its own" in terminal("logs", "chat").err


def test_what_the_gateway_refuses_is_told_to_who_applied_it(
    service: Service,
    terminal: Terminal,
    endpoint_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plane = service.plane

    def refuse() -> None:
        endpoint = plane.endpoint("chat")
        if endpoint is not None:
            refused = {"chat": Refused(endpoint.version, "no such host")}
            plane.gateway.note(Published("v", {}, frozenset(), {}, refused))

    monkeypatch.setattr(plane, "sync_gateway", refuse)
    endpoint_file.write_text(CHAT)
    said = terminal("apply", endpoint_file)
    assert said.code == 1
    assert "the gateway refuses endpoint `chat`: no such host" in said.err
    (row,) = [line for line in terminal("list").out.splitlines() if "chat" in line]
    assert "refused" in row
    assert "no such host" in row


def test_a_run_whose_model_serves_from_its_onnx_form_by_now_is_not_waited_for() -> None:
    model, other = {"name": "m", "version": 1}, {"name": "m", "version": 2}
    runs = [
        {"id": "r_new", "deployment": "main", "model": model},
        {"id": "r_old", "deployment": "main", "model": model},
        {"id": "r_other", "deployment": "main", "model": other},
    ]
    endpoint = {"serving": {"main": "r_new"}, "runs": runs}
    assert is_taken_over(endpoint, {"id": "r_old", "phase": "stopped"})
    assert not is_taken_over(endpoint, {"id": "r_old", "phase": "failed"})
    assert not is_taken_over(endpoint, {"id": "r_other", "phase": "stopped"})
    assert not is_taken_over(endpoint, {"id": "r_gone", "phase": "stopped"})


def test_what_runs_is_listed_and_found_however_many_have_ended_since(
    service: Service, terminal: Terminal, job_file: Path
) -> None:
    run = terminal("run", job_file, "-d", "--json").json["id"]
    with service.plane.write() as connection:
        columns = [row[1] for row in connection.exec_driver_sql("pragma table_info(run)")]
        for index in range(1010):
            changed = {"id": f"'r_s{index:06d}'", "name": f"'n-{index}'", "phase": "'succeeded'"}
            changed["created_at"] = "'2027-01-01 00:00:00.000000'"
            values = ", ".join(changed.get(each, f'"{each}"') for each in columns)
            connection.exec_driver_sql(
                f"insert into run select {values} from run where id = '{run}'"
            )
    listed = terminal("list")
    assert run in listed.out
    assert "of runs that have ended only the newest are listed" in listed.err
    assert terminal("get", "train", "--json").json["id"] == run
    assert terminal("get", "n-7", "--json").json["id"] == "r_s000007"
