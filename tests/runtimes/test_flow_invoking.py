"""Objects with `invoke` behind a JSON route, what a module names, and where models are found."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from plinth.runtimes.flowhost.__main__ import parse, point_to_gateway, said
from plinth.runtimes.flowhost.invoking import InvokedApp, is_invoked, to_json
from plinth.runtimes.flowhost.loading import check_takes_requests, find_object, load_app
from plinth.runtimes.flowhost.traces import Traces


class Adder:
    def invoke(self, given: Any) -> Any:
        return {"sum": given["a"] + given["b"]}


class Graph:
    """As LangGraph's: asynchronous, in pieces, and its errors have notes."""

    async def ainvoke(self, given: Any) -> Any:
        if given == "boom":
            error = ValueError("boom")
            error.add_note("During task with name 'check'")
            raise error
        return {"messages": [Message("hello")]}

    async def astream(self, given: Any) -> Any:
        yield {"check": 1}
        yield {"ask": Message("hello")}
        if given == "boom":
            raise ValueError("boom")


@dataclasses.dataclass
class Message:
    content: str


class Stream:
    def invoke(self, given: Any) -> Any:
        return given

    def stream(self, given: Any) -> Iterator[Any]:
        yield from given


def post(found: Any, body: Any, *, path: str = "/score", **options: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=cast("Any", InvokedApp(found)))
        async with httpx.AsyncClient(transport=transport, base_url="http://flow") as client:
            return await client.post(path, json=body, **options)

    return asyncio.run(run())


STREAM = {"headers": {"accept": "text/event-stream"}}


def test_the_body_is_the_input_and_the_answer_the_output() -> None:
    assert post(Adder(), {"a": 1, "b": 2}).json() == {"sum": 3}
    assert post(Graph(), {}).json() == {"messages": [{"content": "hello"}]}


def test_an_error_is_told_with_its_notes() -> None:
    answer = post(Graph(), "boom")
    assert answer.status_code == 500
    assert answer.json() == {
        "error": {"message": "ValueError: boom; During task with name 'check'"}
    }
    assert post(Adder(), {}).json()["error"]["message"] == "KeyError: 'a'"


def test_pieces_are_events() -> None:
    assert post(Graph(), {}, **STREAM).text == (
        'data: {"check": 1}\n\ndata: {"ask": {"content": "hello"}}\n\n'
    )
    assert post(Stream(), ["a", "b"], **STREAM).text == 'data: "a"\n\ndata: "b"\n\n'
    # One that gives no pieces gives the whole.
    assert post(Adder(), {"a": 1, "b": 2}, **STREAM).text == 'data: {"sum": 3}\n\n'
    assert post(Graph(), "boom", **STREAM).text.endswith(
        'data: {"error": {"message": "ValueError: boom"}}\n\n'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_say_is_an_error_that_names_its_place(number: float) -> None:
    answer = post(Stream(), {"scores": [1]})
    assert answer.status_code == 200

    class Scores:
        def invoke(self, _given: Any) -> Any:
            return {"scores": [1.0, number]}

    answer = post(Scores(), {})
    assert answer.status_code == 500
    words = f"ValueError: `output.scores.1` is {number}, which JSON cannot say; let the flow"
    assert answer.json()["error"]["message"].startswith(words)
    assert "which JSON cannot say" in post(Scores(), {}, **STREAM).text


def test_another_address_and_what_is_no_json_are_refused() -> None:
    assert post(Adder(), {}, path="/other").status_code == 404
    answer = post(Adder(), None, content=b"{")
    assert answer.status_code in (400, 500)


def test_values_that_json_does_not_know_are_said_as_well_as_it_can() -> None:
    told = to_json({1: (Message("a"), {2}), "b": object})
    assert told == {"1": [{"content": "a"}, [2]], "b": str(object)}


@pytest.mark.parametrize("module", ["kernel", "functions.kernel_function_from_prompt"])
def test_a_kernel_is_no_object_that_takes_requests(module: str) -> None:
    kernel = type("Kernel", (Adder,), {"__module__": f"semantic_kernel.{module}"})()
    with pytest.raises(TypeError, match=r"a Kernel of Semantic Kernel takes more .* an ASGI app"):
        is_invoked(kernel)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "flow_module.py").write_text(
        "class Adder:\n    def invoke(self, given):\n        return given\n"
        "adder = Adder()\nnumber = 3\n\nasync def app(scope, receive, send): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "flow_module"
    sys.modules.pop("flow_module", None)


def test_what_a_file_names_is_served_as_what_it_is(module: str) -> None:
    traces = Traces("answers")
    assert isinstance(load_app(".", f"{module}:adder", traces), InvokedApp)
    assert load_app(".", f"{module}:app", traces) is find_object(f"{module}:app")
    assert find_object(f"{module}:adder.invoke")(3) == 3
    with pytest.raises(TypeError, match="an ASGI app is needed"):
        load_app(".", f"{module}:number", traces)


@pytest.mark.parametrize("raised", ["KeyboardInterrupt()", "asyncio.CancelledError('x')"])
def test_what_would_end_the_loop_that_waits_comes_as_an_error_of_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: str
) -> None:
    (tmp_path / "flow_raises.py").write_text(f"import asyncio\nraise {raised}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match=r"the flow's code raised (Keyb|Cancelled)"):
        load_app(".", "flow_raises:app", Traces("answers"))


class Invoked:
    def invoke(self, given: Any) -> Any:
        return given


class Endpoint:
    """As Starlette's: each request makes one, and awaits it."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Any: ...


class OldApp:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


def make_app() -> Any:
    return None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            Invoked,
            r"`main:klass` is a class, .* `served = klass\(...\)` in `main`, and `app: main:s",
        ),
        (OldApp, "is a class"),
        (make_app, r"is called with `\(\) -> .*`; an ASGI app takes `\(scope, receive, send\)`"),
    ],
)
def test_what_makes_an_app_is_not_served_in_its_place(found: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        check_takes_requests("main:klass", found)


@pytest.mark.parametrize("found", [Invoked(), Graph(), Endpoint, print, 3])
def test_what_takes_requests_or_is_told_elsewhere_passes(found: Any) -> None:
    check_takes_requests("main:it", found)


def test_what_is_not_there_is_told_with_what_is(module: str) -> None:
    with pytest.raises(ImportError, match="has no `ap`; it has Adder, adder, app, number"):
        find_object(f"{module}:ap")


def test_clients_find_the_gateway_unless_the_flow_says_another_place() -> None:
    variables = {"PLINTH_ADDRESS": "http://g", "PLINTH_KEY": "plk_1", "OPENAI_API_KEY": "own"}
    point_to_gateway(variables)
    assert variables["OPENAI_BASE_URL"] == "http://g/v1"
    assert variables["AZURE_OPENAI_ENDPOINT"] == "http://g"
    assert (variables["AZURE_OPENAI_API_KEY"], variables["OPENAI_API_KEY"]) == ("plk_1", "own")
    alone: dict[str, str] = {}
    point_to_gateway(alone)
    assert alone == {}


def test_the_options_and_the_last_line() -> None:
    options = parse(["--folder", "f", "--name", "n", "--app", "main:app"])
    assert (options.fd, options.app, options.evaluate) == (3, "main:app", None)
    assert said(ValueError("two\nlines")) == "ValueError: two lines"
    assert said(SystemExit()) == "SystemExit: no message"


def test_without_a_tracking_server_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    traces = Traces("answers")
    traces.begin()
    traces.watch_libraries()
    with traces.step("node", "TOOL", {}) as step:
        step.output = 3
    traces.flush()
    assert (step.output, traces.find_experiment()) == (3, False)
