"""`plinth flow`: what it sends, what it prints, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plinth.cli import flow as verbs
from plinth.client.client import Client
from tests.api.service import TEAM, Service
from tests.cli.terminal import Steps, Terminal

SPAN = {
    "span_id": "a",
    "name": "POST /score",
    "start_time_unix_nano": 0,
    "end_time_unix_nano": 10**9,
    "attributes": {},
}
TRACE = {
    "trace_id": "tr-" + "0" * 32,
    "trace_location": {"mlflow_experiment": {"experiment_id": "e-answers"}},
    "request_time": "2026-11-23T04:00:00Z",
    "execution_duration": "1.5s",
    "state": "OK",
    "request_preview": '{"question": "why?"}',
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("app = 1\n")
    path = tmp_path / "flow.yaml"
    path.write_text(f"kind: flow\nname: answers\nteam: {TEAM}\ncode: code\napp: main:app\n")
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "a"}\n')
    return path


@pytest.fixture(autouse=True)
def _no_waiting(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "time", Steps(service))


def evaluated(service: Service, *told: Any, code: int = 0) -> None:
    """Say what an evaluation prints, and how it ends."""
    lines = [f"plinth-evaluation {json.dumps(each)}" for each in told]

    def end(_world: object, unit: str) -> None:
        service.plane.world.replicas[unit].output = "\n".join([*lines, "last words"]).encode()
        service.plane.world.end(unit, code)

    service.plane.world.behave = end


def result(variant: str = "default", **fields: Any) -> dict[str, Any]:
    told = {
        "variant": variant,
        "row": 1,
        "inputs": "{}",
        "output": "hello",
        "error": None,
        "equal": True,
        "duration_s": 0.5,
    }
    return {"result": told | fields}


METRICS = {"metrics": {"default": {"rows": 1, "failed": 0, "seconds_mean": 0.5}}}


def test_a_flow_is_applied_from_its_folder(
    service: Service, terminal: Terminal, file: Path
) -> None:
    said = terminal("apply", file)
    assert said.code == 0, said.err
    assert "flow `answers` answers at " in said.err
    assert "/flows/answers" in said.err
    assert "flow" in terminal("list").out
    assert terminal("get", "answers").out.startswith("\nflow answers")


def test_what_is_wrong_with_the_folder_is_told_before_anything_is_sent(
    terminal: Terminal, file: Path
) -> None:
    (file.parent / "code" / "main.py").write_text("other = 1\n")
    for verb in ("plan", "apply"):
        said = terminal(verb, file)
        assert (said.code, "`main.py` has no `app`" in said.err) == (1, True)


def test_an_evaluation_prints_rows_and_metrics(
    service: Service, terminal: Terminal, file: Path, rows: Path
) -> None:
    evaluated(service, result(), METRICS)
    said = terminal("flow", "evaluate", file, "--data", rows)
    assert said.code == 0, said.err
    assert "hello" in said.out
    assert "seconds_mean" in said.out
    assert "in MLflow it is `m0`" in said.err
    as_json = terminal("flow", "evaluate", file, "--data", rows, "--json").json
    assert as_json["metrics"] == METRICS["metrics"]
    assert as_json["results"] == [result()["result"]]


def test_the_rows_are_sent_with_the_code_and_the_question_with_the_run(
    service: Service, terminal: Terminal, file: Path, rows: Path
) -> None:
    evaluated(service, result(), METRICS)
    terminal("flow", "evaluate", file, "--data", rows, "--variant", "ask.terse", "--expected", "x")
    (run,) = [each for each in service.as_admin("GET", "/runs") if each["kind"] == "evaluation"]
    workload = service.as_admin("GET", f"/runs/{run['id']}")["workload"]
    assert (workload["variants"], workload["expected"]) == (["ask.terse"], "x")
    work = service.plane.home.runs / run["id"] / "work"
    assert (work / ".plinth-rows.jsonl").read_text() == rows.read_text()


def test_an_evaluation_that_fails_tells_its_last_words(
    service: Service, terminal: Terminal, file: Path, rows: Path
) -> None:
    evaluated(service, code=2)
    said = terminal("flow", "evaluate", file, "--data", rows)
    assert said.code == 1
    assert "failed: last words" in said.err
    assert "hint: `plinth logs r_" in said.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": 1}\n[1]\n', "line 2, is no object"),
        ("nothing\n", "line 1, is not JSON"),
        ("\n", "has no rows"),
    ],
)
def test_rows_that_are_none_are_refused(
    terminal: Terminal, file: Path, rows: Path, content: str, said: str
) -> None:
    rows.write_text(content)
    done = terminal("flow", "evaluate", file, "--data", rows)
    assert (done.code, said in done.err) == (1, True), done.err


def test_a_file_of_another_kind_is_no_flow(terminal: Terminal, job_file: Path, rows: Path) -> None:
    done = terminal("flow", "evaluate", job_file, "--data", rows)
    assert (done.code, "declares a job; a flow is needed" in done.err) == (1, True)


def test_the_verb_test_prints_what_a_folder_answers(
    service: Service, terminal: Terminal, file: Path
) -> None:
    evaluated(service, result(output='{"answer": "so"}'), METRICS)
    assert "so" in terminal("flow", "test", file, "--input", "question=why?").out
    evaluated(service, result(output=None, error="node `a` raised"), METRICS)
    done = terminal("flow", "test", file)
    assert (done.code, "node `a` raised" in done.err) == (1, True)


def test_the_verb_test_asks_what_is_served(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def ask(_client: Client, name: str, body: Any) -> tuple[int, Any]:
        asked.append((name, body))
        return (200, {"answer": "so"}) if name == "answers" else (400, {"error": {"message": "no"}})

    monkeypatch.setattr(Client, "ask_flow", ask)
    said = terminal("flow", "test", "answers", "--input", "q=why?", "--input", "n=3", "--json")
    assert said.json == {"answer": "so"}
    assert asked == [("answers", {"q": "why?", "n": 3})]
    wrong = terminal("flow", "test", "other")
    assert (wrong.code, "answered 400: no" in wrong.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--input", "why"), "is not `NAME=VALUE`"),
        (("--variant", "ask.terse"), "has the variants of its file"),
    ],
)
def test_what_cannot_be_sent_is_refused(
    terminal: Terminal, arguments: tuple[str, ...], said: str
) -> None:
    done = terminal("flow", "test", "answers", *arguments)
    assert (done.code, said in done.err) == (1, True)


def test_traces_are_listed_and_shown(service: Service, terminal: Terminal, file: Path) -> None:
    terminal("apply", file)
    nothing = terminal("flow", "trace", "answers")
    assert (nothing.code, "has no trace yet" in nothing.err) == (1, True)
    service.plane.tracking.traces["answers"] = [TRACE]
    service.plane.tracking.spans[str(TRACE["trace_id"])] = [SPAN]
    assert "POST /score" in terminal("flow", "trace", "answers").out
    assert TRACE["trace_id"] in terminal("flow", "trace", "answers", "--list").out
    assert terminal("flow", "trace", "answers", "--json").json["steps"][0]["duration_s"] == 1.0
