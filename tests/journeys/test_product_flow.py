"""Flows from their folder to their callers: a prompt flow, an ASGI app, a LangGraph app.

Real promptflow-core and real LangGraph; the model that they ask is a provider on loopback, behind
an endpoint, so that what it says is known.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uv
import yaml

from plinth.environments import Environments, EnvironmentSpec, this_python
from plinth.kit.errors import NotFound, Temporary
from plinth.runtimes.runtime import load_runtimes
from plinth.units.worker_times import read_times
from tests.journeys.openai_mock import Provider, running_provider
from tests.journeys.package_index import build_or_skip
from tests.journeys.plinth_node import Plinth, kill, running_plinth, wait_for

TEAM = "research"
EXAMPLE = Path(__file__).parents[2] / "examples" / "flow"
FLOWS = Path(__file__).with_name("flows")
GRAPH_PACKAGES = ["langgraph==1.2.22", "langchain-openai==1.7.3"]
KERNEL_PACKAGES = ["semantic-kernel==1.45.0"]
QUESTION = {"question": "What is the capital of Italy?"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def plinth(
    managed_environments: Path, free_port: Callable[[], int], provider: Provider
) -> Iterator[Plinth]:
    """Start Plinth with the model that the flows ask, which a provider on loopback serves."""
    runtime = load_runtimes()["promptflow"]
    spec = EnvironmentSpec(
        runtime.packages, this_python(), without_dependencies=runtime.without_dependencies
    )
    build_or_skip(Environments(managed_environments, uv.find_uv_bin()), spec)
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    (folder / "settings.toml").write_text("allow_private_upstreams = true\n")
    with running_plinth(
        managed_environments, free_port(), teams=[TEAM, "other"], folder=folder
    ) as plinth:
        model = {"url": provider.url, "protocol": "openai", "model": "gpt-9"}
        file = plinth.write(kind="endpoint", name="smollm2", team=TEAM, external=model)
        plinth.cli("apply", file)
        yield plinth


@pytest.fixture(scope="module")
def caller(plinth: Plinth) -> httpx.Client:
    return plinth.http(plinth.key(TEAM))


@pytest.fixture(scope="module")
def flow(plinth: Plinth) -> Path:
    """Serve a copy of the example; return its file."""
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    said = plinth.cli("apply", str(folder / "flow.yaml")).err
    assert f"flow `answers` answers at {plinth.address}/flows/answers" in said
    return folder / "flow.yaml"


def made_from(name: str, source: Path, **fields: Any) -> Path:
    """Return a flow's file with a copy of its folder."""
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    shutil.copytree(source, folder / "code")
    told = {"kind": "flow", "name": name, "team": TEAM, "code": "code", **fields}
    (folder / "flow.yaml").write_text(yaml.safe_dump(told))
    return folder / "flow.yaml"


def build_app_or_skip(cache: Path, packages: list[str]) -> None:
    """Build what an app of these packages is hosted in."""
    runtime = load_runtimes()["asgihost"]
    spec = EnvironmentSpec(
        (*packages, *runtime.packages), this_python(), leave_out=runtime.leave_out
    )
    build_or_skip(Environments(cache, uv.find_uv_bin()), spec)


def changed_dag(file: Path, change: Callable[[str], str]) -> None:
    path = file.parent / "code" / "flow.dag.yaml"
    path.write_text(change(path.read_text()))


def newest_trace(plinth: Plinth, name: str, asked: str) -> dict[str, Any]:
    """Return the newest trace whose request holds `asked`, as soon as MLflow has it."""

    def seen() -> dict[str, Any] | None:
        found = [each for each in plinth.client.flow_traces(name) if asked in each["request"]]
        try:
            return plinth.client.flow_trace(name, found[0]["id"]) if found else None
        except Temporary:  # MLflow lists a trace a moment before it has what the steps did.
            return None

    trace: dict[str, Any] = wait_for(seen, f"a trace of {name}")
    return trace


# -- a prompt flow ---------------------------------------------------------------------------------


def test_a_prompt_flow_runs_unchanged_and_asks_the_gateway_with_its_own_key(
    plinth: Plinth, provider: Provider, flow: Path, caller: httpx.Client
) -> None:
    answer = caller.post("/flows/answers/score", json=QUESTION)
    assert (answer.status_code, answer.json()) == (200, {"answer": "hello"})
    path, _, body = provider.seen[-1]
    assert (path, body["model"]) == ("/v1/chat/completions", "gpt-9")
    assert body["messages"][1]["content"].strip() == "Question: What is the capital of Italy?"
    # The flow's call of the model is charged to its team, as its own.
    run = plinth.client.endpoint("answers")["serving"]["main"]
    records = wait_for(
        lambda: [each for each in plinth.client.usage() if each["workload"] == "endpoint/smollm2"],
        "the model's usage",
    )
    assert {each["team"] for each in records} == {TEAM}
    assert plinth.client.run(run)["kind"] == "flow"


def test_what_each_node_did_stands_in_mlflow(
    plinth: Plinth, flow: Path, caller: httpx.Client
) -> None:
    caller.post("/flows/answers/score", json={"question": "Is this traced?"})
    trace = newest_trace(plinth, "answers", "Is this traced?")
    assert [step["name"] for step in trace["steps"]] == [
        *("POST /score", "prompt", "ask", "Completions", "shorten")
    ]
    ask = trace["steps"][2]
    assert (ask["kind"], ask["input_tokens"], ask["output_tokens"]) == ("LLM", 7, 2)
    assert (trace["input_tokens"], trace["output_tokens"], trace["status"]) == (7, 2, "ok")
    assert "Question: Is this traced?" in ask["inputs"]
    assert ask["outputs"] == "hello"
    assert ask["duration_s"] > 0
    # No key stands in what was traced.
    assert "plk_" not in json.dumps(trace)
    # MLflow's own interface shows the same to the team, and nothing of it to another.
    body = {"filter": "name = 'answers'", "max_results": 10}
    path = "/api/2.0/mlflow/experiments/search"
    experiments = caller.post(path, json=body).json()["experiments"]
    assert [each["name"] for each in experiments] == ["answers"]
    other = plinth.http(plinth.key("other"))
    assert other.post(path, json=body).json().get("experiments", []) == []
    said = plinth.cli("flow", "trace", "answers", trace["id"])
    assert "shorten" in said.out
    assert trace["id"] in plinth.cli("flow", "trace", "answers", "--list").out


def test_the_verb_test_asks_the_flow_that_is_served(plinth: Plinth, flow: Path) -> None:
    said = plinth.cli("flow", "test", "answers", "--input", "question=Who?", "--json")
    assert said.json == {"answer": "hello"}


def test_the_verb_test_runs_a_folder_that_is_not_served(plinth: Plinth, flow: Path) -> None:
    name = "not-served"
    file = made_from(name, EXAMPLE / "answers")
    said = plinth.cli("flow", "test", str(file), "--input", "question=Who?")
    assert said.json == {"answer": "hello"}
    with pytest.raises(NotFound):
        plinth.client.endpoint(name)


def test_an_evaluation_gives_results_and_metrics_of_the_variants_side_by_side(
    plinth: Plinth, flow: Path, caller: httpx.Client
) -> None:
    rows = flow.parent / "own.jsonl"
    rows.write_text('{"question": "a", "right": "Hello."}\n{"question": "b", "right": "no"}\n')
    variants = ("--variant", "ask.plain", "--variant", "ask.terse")
    found = plinth.cli(
        *("flow", "evaluate", str(flow), "--data", str(rows), "--expected", "right", "--json"),
        *variants,
    ).json
    assert list(found["metrics"]) == ["ask.plain", "ask.terse"]
    for metrics in found["metrics"].values():
        assert (metrics["rows"], metrics["failed"], metrics["equal_rate"]) == (2, 0, 0.5)
        assert (metrics["input_tokens"], metrics["output_tokens"]) == (14, 4)
    assert [(each["row"], each["equal"]) for each in found["results"]] == [
        *((1, True), (2, False), (1, True), (2, False))
    ]
    path = "/api/2.0/mlflow/runs/get"
    run = caller.get(path, params={"run_id": found["tracking_run"]}).json()["run"]
    logged = {each["key"]: each["value"] for each in run["data"]["metrics"]}
    assert logged["ask.plain.equal_rate"] == logged["ask.terse.equal_rate"] == 0.5
    assert run["info"]["status"] == "FINISHED"
    files = caller.get("/api/2.0/mlflow/artifacts/list", params={"run_id": found["tracking_run"]})
    assert [each["path"] for each in files.json()["files"]] == ["results.jsonl"]


def test_rows_and_variants_that_are_none_are_refused_in_words(plinth: Plinth, flow: Path) -> None:
    rows = flow.parent / "bad.jsonl"
    rows.write_text('{"question": "a"}\n[1]\n')
    said = plinth.cli("flow", "evaluate", str(flow), "--data", str(rows), check=False)
    assert (said.code, "line 2, is no object" in said.err) == (1, True)
    rows.write_text('{"question": "a"}\n')
    said = plinth.cli(
        *("flow", "evaluate", str(flow), "--data", str(rows), "--variant", "ask.none"), check=False
    )
    assert said.code == 1
    assert "there is no variant `ask.none`; there are ask.plain, ask.terse" in said.err


def test_a_changed_flow_takes_over_without_a_lost_request(
    plinth: Plinth, flow: Path, caller: httpx.Client
) -> None:
    before = plinth.client.endpoint("answers")["serving"]["main"]
    # What is the same is left alone.
    assert plinth.cli("apply", str(flow), "--json").json["serving"]["main"] == before
    path = flow.parent / "answers" / "shorten.py"
    path.write_text(path.read_text().replace("return first.", 'return "now " + first.'))
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.02):
            answer = caller.post("/flows/answers/score", json=QUESTION)
            answers.append((answer.status_code, answer.text))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        plinth.cli("apply", str(flow))
        count = len(answers)
        wait_for(lambda: len(answers) > count + 5, "answers of the new version")
        old = plinth.client.run(before)
        wait_for(lambda: plinth.client.run(before)["phase"] == "stopped", f"{old['id']} to stop")
    finally:
        stop.set()
        thread.join()
    assert {status for status, _ in answers} == {200}
    assert "now hello" in answers[-1][1]
    assert '"answer":"hello"' in answers[0][1]


def test_a_killed_host_is_started_again_with_a_key_that_holds(
    plinth: Plinth, flow: Path, caller: httpx.Client
) -> None:
    run = plinth.client.endpoint("answers")["serving"]["main"]
    kill(plinth.pid_of(f"{run}.0.1"))
    wait_for(lambda: f"{run}.0.2" in plinth.units(), "its second attempt")

    def answered() -> bool:
        return caller.post("/flows/answers/score", json=QUESTION).status_code == 200

    wait_for(answered, "an answer of the second attempt")


# -- faults ----------------------------------------------------------------------------------------


def test_a_node_that_raises_is_named_to_the_caller_and_in_the_trace(
    plinth: Plinth, caller: httpx.Client
) -> None:
    file = made_from("raises", EXAMPLE / "answers")
    tool = file.parent / "code" / "shorten.py"
    tool.write_text(tool.read_text().replace("first = ", "first = text[1000] or "))
    plinth.cli("apply", str(file))
    answer = caller.post("/flows/raises/score", json=QUESTION)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        "Execution failure in 'shorten': (IndexError) string index out of range"
    )
    trace = newest_trace(plinth, "raises", "Italy")
    wrong = [step["name"] for step in trace["steps"] if step["status"] == "error"]
    assert (trace["status"], wrong) == ("error", ["POST /score", "shorten"])
    said = plinth.cli("flow", "test", "raises", "--input", "question=Who?", check=False)
    assert (said.code, "Execution failure in 'shorten'" in said.err) == (1, True)
    plinth.cli("delete", "raises")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "question: ${prompt.output}",
            "question: ${shorten.output}",
            "the nodes wait for each other in a cycle: `ask` -> `shorten` -> `ask`",
        ),
        ("connection: open_ai_connection", "", "node `ask` names no `connection`"),
        ("path: shorten.py", "path: gone.py", "node `shorten`: there is no file `gone.py`"),
        ("${ask.output}", "${asks.output}", "refers to node `asks`, which there is not"),
    ],
)
def test_what_cannot_run_is_refused_and_leaves_nothing(
    plinth: Plinth, old: str, new: str, said: str
) -> None:
    file = made_from("refused", EXAMPLE / "answers")
    changed_dag(file, lambda text: text.replace(old, new))
    for verb in ("plan", "apply"):
        done = plinth.cli(verb, str(file), check=False)
        assert done.code == 1
        assert said in done.err
    with pytest.raises(NotFound):
        plinth.client.endpoint("refused")


def test_the_server_checks_what_the_command_line_did_not(plinth: Plinth) -> None:
    file = made_from("refused", FLOWS / "plain")
    done = plinth.cli("apply", str(file), check=False)
    assert "the folder holds no `flow.dag.yaml`" in done.err


def test_a_module_that_does_not_import_is_told_and_does_not_serve(plinth: Plinth) -> None:
    file = made_from("broken", FLOWS / "plain", app="main:app")
    (file.parent / "code" / "main.py").write_text("import nothing_like_it\napp = 1\n")
    done = plinth.cli("apply", str(file), check=False)
    assert done.code == 1
    assert "the flow does not load: ModuleNotFoundError: No module named 'nothing_like_it'" in (
        done.err
    )
    plinth.cli("delete", "broken")


def test_a_gpu_is_refused_with_the_reason(plinth: Plinth) -> None:
    file = made_from("gpu", FLOWS / "plain", app="main:app", resources={"accelerator": "A100"})
    done = plinth.cli("apply", str(file), check=False)
    assert done.code == 1
    assert "a flow calls models that run elsewhere, so it would stand idle" in done.err


# -- an app of one's own ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(plinth: Plinth) -> str:
    limits = [{"each": "key", "requests_per_minute": 60}]
    file = made_from("plain", FLOWS / "plain", app="main:app", limits=limits)
    plinth.cli("apply", str(file))
    return "plain"


def test_an_asgi_app_answers_as_it_is_and_never_sees_its_callers_key(
    plinth: Plinth, plain: str, caller: httpx.Client
) -> None:
    seen = caller.post("/flows/plain/any/where?a=b", json={}, headers={"cookie": "x=y"}).json()
    assert (seen["path"], seen["query"], seen["up"]) == ("/any/where", "a=b", True)
    assert not {"authorization", "cookie", "api-key"} & set(seen["headers"])
    assert (seen["has_key"], seen["folder"]) == (True, ["main.py"])
    assert (seen["mounted"], seen["host"]) == ("/flows/plain", f"127.0.0.1:{plinth.port}")
    assert caller.get("/flows/plain").json()["path"] == "/"
    assert caller.get("/flows/plainer").status_code == 403


def test_a_stream_arrives_piece_by_piece(plain: str, caller: httpx.Client) -> None:
    with caller.stream("POST", "/flows/plain/stream", json={}) as answer:
        times = [time.monotonic() for line in answer.iter_lines() if line]
    assert len(times) == 3
    assert times[2] - times[0] > 0.4


def test_an_error_of_the_app_is_its_callers_500(plain: str, caller: httpx.Client) -> None:
    assert caller.post("/flows/plain/raise", json={}).status_code == 500
    assert caller.post("/flows/plain/x", json={}).status_code == 200


def test_who_is_not_granted_a_flow_may_not_call_it_until_they_are(
    plinth: Plinth, plain: str
) -> None:
    assert plinth.http().post("/flows/plain/x", json={}).status_code == 401
    other = plinth.http(plinth.key("other"))
    assert other.post("/flows/plain/x", json={}).status_code == 403
    resource = {"team": TEAM, "resource": "endpoint/plain"}
    plinth.client.give({"role": "viewer", "subject_team": "other", **resource})

    def granted() -> bool:
        return other.post("/flows/plain/x", json={}).status_code == 200

    wait_for(granted, "the grant to hold")


def test_requests_a_minute_are_limited(plinth: Plinth, plain: str) -> None:
    one = plinth.http(plinth.key(TEAM))
    statuses = [one.get("/flows/plain/x").status_code for _ in range(70)]
    assert 429 in statuses
    assert set(statuses) == {200, 429}


def test_a_stopped_flow_ends_its_app_in_order_and_starts_again(plinth: Plinth) -> None:
    file = made_from("stopped", FLOWS / "plain", app="main:app")
    plinth.cli("apply", str(file))
    run = plinth.client.endpoint("stopped")["serving"]["main"]
    plinth.cli("stop", "stopped")
    assert "was shut down" in plinth.log(run)
    plinth.cli("apply", str(file))
    plinth.cli("delete", "stopped")
    assert "stopped" not in [each["name"] for each in plinth.client.endpoints()]


# -- workers from none on --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sleeper(plinth: Plinth) -> str:
    """Serve an app with no worker while nobody asks."""
    told = {"workers": "0..2", "idle": "1s", "concurrency": 2}
    file = made_from("sleeper", FLOWS / "plain", app="main:app", **told)
    plinth.cli("apply", str(file))
    return "sleeper"


def workers_of(plinth: Plinth, flow: str) -> int:
    return int(plinth.client.endpoint(flow)["deployments"]["main"]["workers"]["running"])


def falls_asleep(plinth: Plinth, flow: str) -> None:
    wait_for(lambda: workers_of(plinth, flow) == 0, f"{flow} asleep")


def serving_seconds(plinth: Plinth, flow: str) -> float:
    rows = [each for each in plinth.client.usage() if each["workload"] == f"endpoint/{flow}"]
    return sum(each["serving_seconds"] for each in rows)


def test_a_flow_that_nobody_asks_sleeps_costs_nothing_and_says_so(
    plinth: Plinth, sleeper: str, caller: httpx.Client
) -> None:
    falls_asleep(plinth, sleeper)
    said = plinth.cli("get", sleeper).out
    assert "asleep: 0 of 2 workers run, which costs nothing" in " ".join(said.split())
    assert "asleep" in plinth.cli("list").out
    assert "asleep" in plinth.cli("status").out
    assert "flow `sleeper` is asleep" in plinth.cli("usage").err
    before = serving_seconds(plinth, sleeper)
    assert before > 0
    time.sleep(3)
    assert serving_seconds(plinth, sleeper) == before
    # The first request waits until a worker has started, and is answered.
    assert caller.get("/flows/sleeper/x").json()["up"]
    wait_for(lambda: serving_seconds(plinth, sleeper) > before, "seconds of the worker")
    falls_asleep(plinth, sleeper)
    run = plinth.client.endpoint(sleeper)["serving"]["main"]
    times, _ = read_times(plinth.home.units / f"{run}.0.1" / "workers", 0)
    ran = sum((each.ended_at - each.started_at).total_seconds() for each in times)
    wait_for(
        lambda: serving_seconds(plinth, sleeper) == pytest.approx(ran, abs=0.002),
        f"{ran} s of {len(times)} workers",
    )


def test_a_request_that_wakes_a_flow_leaves_its_trace(
    plinth: Plinth, sleeper: str, caller: httpx.Client
) -> None:
    falls_asleep(plinth, sleeper)
    assert plinth.client.flow_traces(sleeper) == []
    assert caller.post("/flows/sleeper/x", json={}).status_code == 200
    (trace,) = wait_for(lambda: plinth.client.flow_traces(sleeper), "its trace")
    assert trace["status"] == "ok"


def test_a_sleeping_flow_wakes_whatever_was_killed(
    plinth: Plinth, sleeper: str, caller: httpx.Client
) -> None:
    falls_asleep(plinth, sleeper)
    kill(plinth.agent_pid(), plinth.pid_of("control"))
    assert caller.get("/flows/sleeper/x").status_code == 200
    plinth.up()
    falls_asleep(plinth, sleeper)
    run = plinth.client.endpoint(sleeper)["serving"]["main"]
    kill(plinth.pid_of(f"{run}.0.1", "supervisor"))
    wait_for(lambda: f"{run}.0.2" in plinth.units(), "its second attempt")
    assert caller.get("/flows/sleeper/x").status_code == 200
    plinth.cli("down")
    plinth.up()
    wait_for(lambda: f"{run}.0.3" in plinth.units(), "its third attempt")
    assert caller.get("/flows/sleeper/x").status_code == 200


def test_no_request_is_lost_as_a_flow_falls_asleep_again_and_again(
    plinth: Plinth, sleeper: str, caller: httpx.Client
) -> None:
    # It rests for a second: most come just as its worker ends.
    pauses = random.Random(7)
    for _ in range(8):
        time.sleep(pauses.uniform(0.9, 1.3))
        answer = caller.get("/flows/sleeper/x")
        assert answer.status_code == 200, answer.text


def test_one_that_does_not_start_any_more_is_told_to_whoever_waits(
    plinth: Plinth, caller: httpx.Client
) -> None:
    told = {"workers": "0..2", "idle": "1s"}
    file = made_from("rotten", FLOWS / "plain", app="main:app", **told)
    plinth.cli("apply", str(file))
    falls_asleep(plinth, "rotten")
    run = plinth.client.endpoint("rotten")["serving"]["main"]
    (plinth.home.runs / run / "work" / "main.py").write_text("import nothing_like_it\n")
    answer = caller.get("/flows/rotten/x")
    assert answer.status_code == 503
    assert answer.json()["error"]["message"]
    plinth.cli("delete", "rotten")


def test_a_langgraph_app_is_hosted_as_it_is_and_traced_node_by_node(
    plinth: Plinth, managed_environments: Path, caller: httpx.Client
) -> None:
    build_app_or_skip(managed_environments, GRAPH_PACKAGES)
    packages = {"packages": GRAPH_PACKAGES}
    file = made_from("agent", FLOWS / "graph", app="agent:graph", environment=packages)
    plinth.cli("apply", str(file))
    asked = {"messages": [["user", "What is the capital of Italy?"]]}
    answer = caller.post("/flows/agent/score", json=asked).json()
    assert answer["messages"][-1]["content"] == "hello"
    trace = newest_trace(plinth, "agent", "Italy")
    steps = {step["name"]: step for step in trace["steps"]}
    assert {"LangGraph", "check", "ask", "ChatOpenAI"} <= set(steps)
    assert (steps["ask"]["input_tokens"], steps["ask"]["output_tokens"]) == (7, 2)
    wrong = caller.post("/flows/agent/score", json={"messages": [["user", "boom"]]})
    assert wrong.status_code == 500
    said = wrong.json()["error"]["message"]
    assert said.startswith("ValueError: boom was asked for; During task with name 'check'")
    stream = {"accept": "text/event-stream"}
    events = caller.post("/flows/agent/score", json=asked, headers=stream).text.split("\n\n")
    assert ['{"check"' in events[0], '{"ask"' in events[1]] == [True, True]


def test_a_semantic_kernel_app_is_hosted_as_it_is_with_its_plugins_and_templates(
    plinth: Plinth, provider: Provider, managed_environments: Path, caller: httpx.Client
) -> None:
    build_app_or_skip(managed_environments, KERNEL_PACKAGES)
    packages = {"packages": KERNEL_PACKAGES}
    file = made_from("desk", FLOWS / "kernel", app="desk:app", environment=packages)
    plinth.cli("apply", str(file))
    asked = {"city": "Rome", "question": "What is its capital?"}
    answer = caller.post("/flows/desk/score", json=asked)
    assert (answer.status_code, answer.json()) == (200, {"answer": "hello"})
    _, _, body = provider.seen[-1]
    assert body["messages"] == [{"role": "user", "content": "In Italy: What is its capital?"}]
    trace = newest_trace(plinth, "desk", "Rome")
    steps = {step["name"]: step for step in trace["steps"]}
    called = {"Kernel.invoke", "execute_tool desk-ask", "execute_tool places-country_of"}
    assert called | {"chat smollm2"} <= set(steps)
    assert (trace["input_tokens"], trace["output_tokens"], trace["status"]) == (7, 2, "ok")
    assert "plk_" not in json.dumps(trace)
    # What the package that has no wheel would be needed for is refused, and says so.
    refused = caller.post("/flows/desk/handlebars", json={})
    assert (refused.status_code, "needs the package `pybars4`" in refused.text) == (501, True)


def test_an_agent_of_semantic_kernel_answers_by_its_functions(
    plinth: Plinth,
    provider: Provider,
    managed_environments: Path,
    caller: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build_app_or_skip(managed_environments, KERNEL_PACKAGES)
    packages = {"packages": KERNEL_PACKAGES}
    file = made_from("clerk", FLOWS / "kernel", app="desk:clerk", environment=packages)
    plinth.cli("apply", str(file))
    plain = provider.answer
    call = {"name": "places-country_of", "arguments": '{"city": "Rome"}'}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
    }

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        whole = plain(body)
        if body["messages"][-1]["role"] == "user":
            whole["choices"] = [{"index": 0, "finish_reason": "tool_calls", "message": message}]
        return whole

    monkeypatch.setattr(provider, "answer", answer)
    asked = {"messages": [{"role": "user", "content": "Where is Rome?"}]}
    said = caller.post("/flows/clerk/score", json=asked)
    assert (said.status_code, said.json()) == (
        200,
        {"role": "assistant", "name": "clerk", "content": "hello"},
    )
    _, _, body = provider.seen[-1]
    told = body["messages"][-1]
    assert (told["role"], told["content"]) == ("tool", "Italy")
    monkeypatch.undo()
    stream = {"accept": "text/event-stream"}
    events = caller.post("/flows/clerk/score", json="Who?", headers=stream).text
    assert events == 'data: {"content": "hel"}\n\ndata: {"content": "lo"}\n\n'
    wrong = caller.post("/flows/clerk/score", json={"question": "Who?"})
    assert wrong.status_code == 500
    assert "an agent takes a text" in wrong.json()["error"]["message"]
