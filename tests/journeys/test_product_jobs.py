"""Jobs as a person runs them, on a whole Plinth: real processes, MLflow, kills and bad input."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from plinth.kit.ids import digest_of
from tests.journeys.one_node import with_teams
from tests.journeys.plinth_node import SERVING_PACKAGES, Plinth, is_alive, wait_for

TRACKING = {"packages": SERVING_PACKAGES}


@pytest.fixture(scope="module")
def plinth(one_node: Plinth) -> Plinth:
    return with_teams(one_node, "research")


def tracked(plinth: Plinth, run: dict[str, Any]) -> dict[str, Any]:
    """Return the MLflow run of a run, asked through the gateway as its team."""
    caller = plinth.http(plinth.key(run["team"]))

    def seen() -> dict[str, Any] | None:
        answer = caller.get(
            "/api/2.0/mlflow/runs/get", params={"run_id": run["tracking_run"]}
        ).raise_for_status()
        found: dict[str, Any] = answer.json()["run"]
        return found if found["info"]["status"] != "RUNNING" else None

    found: dict[str, Any] = wait_for(seen, "the end of the MLflow run")
    return found


def test_a_job_succeeds_and_what_it_printed_is_kept(plinth: Plinth) -> None:
    file = plinth.write(kind="job", name="hello", team="research", command="python hello.py")
    done = plinth.cli("run", file)
    assert "of team research" in done.out
    assert "and to standard error" in done.out
    assert "succeeded" in done.err
    assert plinth.cli("logs", "hello").out == done.out
    shown = plinth.cli("get", "hello", "--json").json
    assert (shown["phase"], shown["exit_code"], len(shown["attempts"])) == ("succeeded", 0, 1)
    assert [event["phase"] for event in shown["events"]][-1] == "succeeded"
    assert shown["attempts"][0]["isolation"] == plinth.client.status()["node"]["isolation_level"]
    listed = plinth.cli("list", "--json").json["runs"]
    assert shown["id"] in [run["id"] for run in listed]


def test_a_missing_script_fails_the_run_with_what_python_says(plinth: Plinth) -> None:
    file = plinth.write(kind="job", name="absent", command="python absent.py")
    done = plinth.cli("run", file, check=False)
    assert done.code == 1
    assert "can't open file" in done.out
    assert "failed: exited with code 2" in done.err
    assert "hint: `plinth get r_" in done.err


def test_a_missing_program_is_named(plinth: Plinth) -> None:
    run = plinth.run("no-program", "absent-program")
    assert (run["phase"], run["exit_code"]) == ("failed", 127)
    assert "`absent-program`" in run["message"]


def test_exit_code_3_fails_the_run_and_is_shown(plinth: Plinth) -> None:
    run = plinth.run("three", "python", "-c", "import sys; print('so far'); sys.exit(3)")
    assert (run["phase"], run["exit_code"]) == ("failed", 3)
    assert run["message"] == "exited with code 3"
    assert plinth.log(run["id"]) == "so far\n"


def test_a_failed_job_is_started_again_as_often_as_its_file_says(plinth: Plinth) -> None:
    script = "import os, sys; sys.exit(os.environ['PLINTH_ATTEMPT'] != '2')"
    run = plinth.run("second-try", "python", "-c", script, attempts=3)
    assert run["phase"] == "succeeded"
    assert [a["phase"] for a in run["attempts"]] == ["failed", "succeeded"]


def test_a_job_that_ignores_sigterm_is_gone_after_its_grace(plinth: Plinth) -> None:
    run = plinth.submit("stubborn", "python", "stubborn.py", grace=1)
    plinth.wait_for_line(run, "pids")
    pids = [int(word) for word in plinth.log(run).split()[1:]]
    started = time.monotonic()
    stopped = plinth.cli("stop", run, "--json").json
    assert stopped["phase"] == "stopped"
    assert time.monotonic() - started > 0.9
    assert pids
    assert [pid for pid in pids if is_alive(pid)] == []
    assert not is_alive(plinth.pid_of(f"{run}.0.1"))


def test_a_job_over_its_timeout_is_stopped_and_failed(plinth: Plinth) -> None:
    run = plinth.run("slow", "python", "waits.py", timeout=1, grace=1)
    assert (run["phase"], run["reason"]) == ("failed", "TimedOut")
    assert run["message"] == "ran longer than its timeout of 1 s"
    assert not is_alive(plinth.pid_of(f"{run['id']}.0.1"))


def test_a_job_reads_the_bytes_of_its_data_version_and_cannot_change_them(plinth: Plinth) -> None:
    for rows in ("1,a\n2,b\n", "1,a\n2,b\n3,c\n"):
        file = Path(plinth.write(kind="job", name="numbers", command="x")).with_suffix(".csv")
        file.write_text(f"number,letter\n{rows}")
        plinth.cli("data", "add", "numbers", str(file), "--team", "research")
    digest = digest_of(file.read_bytes())
    added_again = plinth.cli(
        "data", "add", "numbers", str(file), "--team", "research", "--json"
    ).json
    assert (added_again["version"], added_again["added"]) == (2, False)
    run = plinth.run("reads", "python", "reads.py", team="research", data={"numbers": "numbers"})
    lines = dict(line.split() for line in plinth.log(run["id"]).splitlines())
    assert (lines["bytes"], lines["version"]) == (digest, "2")
    assert lines["digest"].removeprefix("sha256:") == digest
    assert lines["writing"] in ("PermissionError", "OSError")
    older = plinth.run(
        "reads", "python", "reads.py", team="research", data={"numbers": "numbers@1"}
    )
    assert "version 1" in plinth.log(older["id"])


def test_data_that_is_not_there_is_refused_before_the_run_exists(plinth: Plinth) -> None:
    file = plinth.write(kind="job", name="no-data", command="x", data={"a": "nothing@7"})
    done = plinth.cli("run", file, check=False)
    assert done.code == 1
    assert "has no data version `nothing@7`" in done.err
    assert "hint: `plinth data add" in done.err


def test_parameters_metrics_and_the_end_of_a_run_are_in_mlflow(plinth: Plinth) -> None:
    run = plinth.run("tracks", "python", "tracks.py", "ends", "0", environment=TRACKING)
    assert run["phase"] == "succeeded", plinth.log(run["id"])
    found = tracked(plinth, run)
    assert found["info"]["status"] == "FINISHED"
    assert found["data"]["params"] == [{"key": "rate", "value": "0.5"}]
    assert [(m["key"], m["value"]) for m in found["data"]["metrics"]] == [("loss", 0.4)]
    tags = {tag["key"]: tag["value"] for tag in found["data"]["tags"]}
    assert tags["plinth.team"] == "default"
    assert run["id"] in json.dumps(found)
    # Another team's key reaches another workspace: the run is not there.
    other = plinth.http(plinth.key("research"))
    answer = other.get("/api/2.0/mlflow/runs/get", params={"run_id": run["tracking_run"]})
    assert answer.status_code == 404


def test_a_failed_run_is_failed_in_mlflow_too(plinth: Plinth) -> None:
    run = plinth.run("tracks", "python", "tracks.py", "ends", "3", environment=TRACKING)
    assert run["phase"] == "failed"
    assert tracked(plinth, run)["info"]["status"] == "FAILED"


def test_a_stopped_run_is_killed_in_mlflow(plinth: Plinth) -> None:
    run_id = plinth.submit("tracks", "python", "tracks.py", "waits", environment=TRACKING)
    plinth.wait_for_line(run_id, "logged")
    plinth.client.stop_run(run_id)
    run = plinth.ended(run_id)
    assert run["phase"] == "stopped"
    found = tracked(plinth, run)
    assert found["info"]["status"] == "KILLED"
    assert [m["value"] for m in found["data"]["metrics"]] == [0.4]


def test_packages_that_do_not_exist_fail_the_run_and_are_named(plinth: Plinth) -> None:
    packages = ["plinth-has-no-such-package==1.0"]
    run = plinth.run("unresolved", "python", "hello.py", environment={"packages": packages})
    assert run["phase"] == "failed"
    assert "plinth-has-no-such-package" in run["message"]
    assert run["attempts"] == []


def test_a_plan_that_does_not_fit_is_refused_with_its_reasons(plinth: Plinth) -> None:
    file = plinth.write(kind="job", name="huge", command="x", resources={"cpu": 9999})
    done = plinth.cli("run", file, check=False)
    assert done.code == 1
    assert "no platform fits `huge`" in done.err
    assert "9999" in done.err
    assert "hint:" in done.err
    planned = plinth.cli("plan", file, check=False)
    assert planned.code == 1
    assert "9999" in planned.out
    assert "huge" not in [run["name"] for run in plinth.client.runs()]


def test_every_mistake_of_a_file_is_reported_at_once(plinth: Plinth) -> None:
    file = plinth.write(kind="job", name="Wrong Name", comand="x", timeout="soon")
    done = plinth.cli("run", file, check=False)
    assert done.code == 1
    for word in ("Wrong Name", "comand", "command", "soon"):
        assert word in done.err


def test_an_ended_run_is_deleted_with_its_files_and_a_running_one_is_not(plinth: Plinth) -> None:
    run = plinth.submit("waits", "python", "waits.py")
    plinth.wait_for_line(run, "waiting")
    refused = plinth.cli("delete", run, check=False)
    assert refused.code == 1
    assert "`plinth stop" in refused.err
    (plinth.home.runs / run / "work" / "go").touch()
    ended = plinth.ended(run)
    tracked(plinth, ended)
    plinth.cli("delete", run)
    assert not (plinth.home.runs / run).exists()
    assert not (plinth.home.units / f"{run}.0.1").exists()
    assert "there is no run" in plinth.cli("get", run, check=False).err
