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


def evaluated(service: Service, *told: Any, code: int = 0, printed: str = "last words") -> None:
    """Say what an evaluation finds and prints, and how it ends."""
    lines = [each if isinstance(each, str) else json.dumps(each) for each in told]

    def end(_world: object, unit: str) -> None:
        folder = service.plane.home.runs / unit.partition(".")[0] / "work"
        if lines:
            (folder / ".plinth-results.jsonl").write_text("\n".join(lines) + "\n")
        service.plane.world.replicas[unit].output = printed.encode()
        service.plane.world.end(unit, code)

    service.plane.world.behave = end


def result(variant: str = "default", **fields: Any) -> dict[str, Any]:
    told = {
        "variant": variant,
        "row": 1,
        "inputs": {},
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
    rows.write_text('{"question": "a", "x": "b"}\n')
    terminal("flow", "evaluate", file, "--data", rows, "--output", "y", "--expected", "x")
    (run,) = [each for each in service.as_admin("GET", "/runs") if each["kind"] == "evaluation"]
    workload = service.as_admin("GET", f"/runs/{run['id']}")["workload"]
    assert (workload["output"], workload["expected"]) == ("y", "x")
    work = service.plane.home.runs / run["id"] / "work"
    assert (work / ".plinth-rows.jsonl").read_text() == rows.read_text()


def test_an_evaluation_that_fails_tells_its_last_words(
    service: Service, terminal: Terminal, file: Path, rows: Path
) -> None:
    evaluated(service, code=2)
    said = terminal("flow", "evaluate", file, "--data", rows)
    assert said.code == 1
    assert "failed: exited with 2; the last line that it printed: last words" in said.err
    assert "hint: `plinth logs r_" in said.err


def test_what_was_finished_is_shown_when_a_row_ends_the_process(
    service: Service, terminal: Terminal, file: Path, rows: Path
) -> None:
    began = [{"began": {"variant": "default", "row": row}} for row in (1, 2)]
    evaluated(service, began[0], result(), began[1], code=5, printed="a warning\n")
    said = terminal("flow", "evaluate", file, "--data", rows)
    assert (said.code, "hello" in said.out, "METRIC" in said.out) == (1, True, False)
    words = "failed: exited with 5 while row 2 ran; the last line that it printed: a warning"
    assert words in " ".join(said.err.split())
    as_json = terminal("flow", "evaluate", file, "--data", rows, "--json")
    assert as_json.code == 1
    assert as_json.json["results"] == [result()["result"]]
    assert "while row 2 ran" in as_json.json["error"]


def test_its_own_words_come_before_what_it_printed(
    service: Service, terminal: Terminal, file: Path, rows: Path
) -> None:
    evaluated(service, {"error": "there is no output `gott`; the answer has got"}, code=2)
    said = terminal("flow", "evaluate", file, "--data", rows)
    assert (said.code, "failed: there is no output `gott`; the answer has got" in said.err) == (
        1,
        True,
    )


def test_what_a_flow_prints_forges_and_breaks_nothing(
    service: Service, terminal: Terminal, file: Path, rows: Path
) -> None:
    printed = 'plinth-evaluation {"metrics": {"forged": {}}}\nplinth-evaluation no JSON\nno end'
    evaluated(service, result(), METRICS, printed=printed)
    assert (
        terminal("flow", "evaluate", file, "--data", rows, "--json").json["metrics"]
        == (METRICS["metrics"])
    )


@pytest.mark.parametrize(
    "told",
    [
        (METRICS,),
        (result(), result(row=2), METRICS),
        (result(),),
        ("no JSON", result(), METRICS),
    ],
)
def test_results_that_are_not_whole_are_not_shown(
    service: Service, terminal: Terminal, file: Path, rows: Path, told: tuple[Any, ...]
) -> None:
    evaluated(service, *told)
    said = terminal("flow", "evaluate", file, "--data", rows)
    assert (said.code, said.out, "is not whole" in said.err) == (1, "", True)


def test_what_is_asked_is_checked_before_anything_runs(
    service: Service, terminal: Terminal, file: Path, rows: Path
) -> None:
    rows.write_text('{"question": "a", "right": 1}\n{"question": "b"}\n')
    for arguments, words in (
        (("--expected", "right"), f"{rows}`, line 2: `--expected`: there is no column `right`"),
        (("--expected", "x" * 300), "has 300 characters; 1 to 200 are accepted"),
        (("--variant", "ask.terse"), "an app has no variants"),
        (("--output", ""), "`--output ` has 0 characters"),
    ):
        said = terminal("flow", "evaluate", file, "--data", rows, *arguments)
        assert (said.code, words in " ".join(said.err.split())) == (1, True), said.err
    assert service.as_admin("GET", "/runs") == []


def test_a_file_of_another_kind_is_no_flow(terminal: Terminal, job_file: Path, rows: Path) -> None:
    done = terminal("flow", "evaluate", job_file, "--data", rows)
    assert (done.code, "declares a job; a flow is needed" in done.err) == (1, True)


def test_the_verb_test_prints_what_a_folder_answers(
    service: Service, terminal: Terminal, file: Path
) -> None:
    whole = {"answer": "so " * 1000 + "\u2028 end"}
    evaluated(service, result(output=whole), METRICS)
    assert terminal("flow", "test", file, "--input", "question=why?").json == whole
    evaluated(service, result(output="y" * 1000), METRICS)
    assert terminal("flow", "test", file, "--input", "q=why?").out == "y" * 1000 + "\n"
    assert terminal("flow", "test", file, "--input", "q=why?", "--json").json == "y" * 1000
    evaluated(service, result(output=None, error="node `a` raised"), METRICS)
    done = terminal("flow", "test", file)
    assert (done.code, "node `a` raised" in done.err) == (1, True)


def test_the_verb_test_asks_what_is_served(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    terminal("apply", file)
    asked: list[Any] = []

    def ask(_client: Client, name: str, body: Any) -> tuple[int, Any]:
        asked.append((name, body))
        return (200, {"answer": "so"}) if body else (status, {"error": {"message": "no"} | more})

    status, more = 400, {}
    monkeypatch.setattr(Client, "ask_flow", ask)
    said = terminal("flow", "test", "answers", "--input", "q=why?", "--input", "n=3", "--json")
    assert said.json == {"answer": "so"}
    assert asked == [("answers", {"q": "why?", "n": 3})]
    wrong = terminal("flow", "test", "answers")
    assert (wrong.code, "answered 400: no" in wrong.err) == (1, True)
    assert "hint: `plinth flow trace answers` shows" in wrong.err
    status, more = 403, {"code": "denied"}
    denied = terminal("flow", "test", "answers")
    assert f"hint: an operator of team `{TEAM}` can grant you its use" in denied.err


def test_a_name_that_no_flow_has_is_told_with_the_nearest(
    service: Service, terminal: Terminal, file: Path
) -> None:
    terminal("apply", file)
    service.plane.apply()
    for verb in ("test", "trace"):
        said = terminal("flow", verb, "answer")
        words = "there is no flow `answer`; did you mean `answers`?; there are answers"
        assert (said.code, words in said.err) == (1, True), said.err
        model = terminal("flow", verb, "delay")
        words = "there is no flow `delay`: the endpoint of that name serves a model"
        assert (model.code, words in model.err) == (1, True)
        assert "flow trace" not in said.err + model.err


@pytest.fixture
def dag(file: Path) -> Path:
    """Make the flow a prompt flow with one input that must be given, and one that need not."""
    (file.parent / "code" / "flow.dag.yaml").write_text(
        "inputs:\n  question: {type: string}\n  most: {type: int, default: 3}\n"
        "outputs:\n  answer: {type: string, reference: '${echo.output}'}\n"
        "nodes:\n- {name: echo, type: prompt, source: {type: code, path: echo.jinja2}, "
        "inputs: {question: '${inputs.question}'}}\n"
    )
    (file.parent / "code" / "echo.jinja2").write_text("{{question}}\n")
    file.write_text(file.read_text().replace("app: main:app\n", ""))
    return file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--input", "qestion=a"), "there is no input `qestion`; did you mean `question`?"),
        (("--input", "most=4"), "the input `question` is missing, and has no default"),
        (("--input", "question=a", "--variant", "echo"), "is not `NODE.VARIANT`"),
        (("--input", "question=a", "--variant", "echo.b"), "there is no variant `echo.b`"),
    ],
)
def test_inputs_that_a_prompt_flow_has_not_are_refused(
    service: Service, terminal: Terminal, dag: Path, arguments: tuple[str, ...], words: str
) -> None:
    said = terminal("flow", "test", dag, *arguments)
    assert (said.code, words in said.err) == (1, True), said.err
    assert service.as_admin("GET", "/runs") == []


def test_a_misspelt_output_is_refused_before_anything_runs(
    service: Service, terminal: Terminal, dag: Path, rows: Path
) -> None:
    said = terminal("flow", "evaluate", dag, "--data", rows, "--output", "anser")
    assert "there is no output `anser`; did you mean `answer`?; there are answer" in said.err
    assert service.as_admin("GET", "/runs") == []


def test_a_served_prompt_flow_is_asked_for_its_inputs(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, dag: Path
) -> None:
    terminal("apply", dag)
    schema = {"schema": {"properties": {"question": {}}}}
    score = {"post": {"requestBody": {"content": {"application/json": schema}}}}
    said = (200, {"paths": {"/score": score}})
    monkeypatch.setattr(Client, "describe_flow", lambda _client, _name: said)
    monkeypatch.setattr(Client, "ask_flow", lambda _client, _name, body: (200, body))
    done = terminal("flow", "test", "answers", "--input", "nothing=1")
    assert (done.code, "there is no input `nothing`; there are question" in done.err) == (1, True)
    assert terminal("flow", "test", "answers", "--input", "question=1").json == {"question": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--input", "why"), "is not `NAME=VALUE`"),
        (("--input", "q=NaN"), "NaN is no number in JSON"),
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
