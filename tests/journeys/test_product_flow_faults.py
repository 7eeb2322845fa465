"""What callers and nodes of flows ask for that is not there, and code that wants to end."""

# The fixtures are those of the journeys of flows, under their names.
# ruff: noqa: F811

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from plinth.kit.errors import NotFound, PlinthError
from tests.journeys.plinth_node import Plinth
from tests.journeys.test_product_flow import (  # noqa: F401
    EXAMPLE,
    FLOWS,
    QUESTION,
    caller,
    changed_dag,
    flow,
    made_from,
    plinth,
    provider,
)


def test_a_node_that_wants_to_end_ends_its_request_only(
    plinth: Plinth, caller: httpx.Client
) -> None:
    file = made_from("leaves", EXAMPLE / "answers")
    tool = file.parent / "code" / "shorten.py"
    tool.write_text(tool.read_text().replace("first = ", "raise SystemExit(4)\n    first = "))
    plinth.cli("apply", str(file))
    run = plinth.client.endpoint("leaves")["serving"]["main"]
    pid = plinth.pid_of(f"{run}.0.1")
    for _ in range(2):
        answer = caller.post("/flows/leaves/score", json=QUESTION)
        assert answer.status_code == 500
        assert "called `sys.exit(4)`" in answer.json()["error"]["message"]
    assert plinth.pid_of(f"{run}.0.1") == pid
    plinth.cli("delete", "leaves")


def test_what_a_node_asks_for_in_vain_is_named(plinth: Plinth, caller: httpx.Client) -> None:
    file = made_from("vain", EXAMPLE / "answers")
    changed_dag(file, lambda text: text.replace("deployment_name: smollm2", "deployment_name: no"))
    plinth.cli("apply", str(file))
    answer = caller.post("/flows/vain/score", json=QUESTION)
    assert "node `ask` asks the endpoint `no` (its `deployment_name`)" in answer.text
    served = plinth.client.endpoint("vain")["serving"]["main"]
    changed_dag(file, lambda text: text.replace("text: ${ask", "txt: ${ask"))
    done = plinth.cli("apply", str(file), check=False)
    assert done.code == 1
    assert "node `shorten` gives its tool the input `txt`, which that has not" in done.err
    # What served before goes on.
    assert plinth.client.endpoint("vain")["serving"]["main"] == served
    plinth.cli("delete", "vain")


def test_names_that_there_are_not_are_told_with_the_nearest(plinth: Plinth, flow: Path) -> None:
    for verb, arguments, words in (
        ("test", ("answer",), "there is no flow `answer`; did you mean `answers`?"),
        ("trace", ("smollm2",), "there is no flow `smollm2`: the endpoint of that name serves"),
        ("test", ("answers", "--input", "qestion=a"), "no input `qestion`; did you mean `ques"),
        ("test", (str(flow), "--input", "qestion=a"), "no input `qestion`; did you mean `ques"),
    ):
        said = plinth.cli("flow", verb, *arguments, check=False)
        assert (said.code, words in said.err) == (1, True), said.err


def test_an_app_that_wants_to_end_ends_its_request_only(
    plinth: Plinth, caller: httpx.Client
) -> None:
    file = made_from("plain", FLOWS / "plain", app="main:app")
    plinth.cli("apply", str(file))
    run = plinth.client.endpoint("plain")["serving"]["main"]
    pid = plinth.pid_of(f"{run}.0.1")
    answer = caller.post("/flows/plain/exit", json={})
    words = "the flow's code called `sys.exit(3)` instead of answering"
    assert (answer.status_code, answer.json()) == (500, {"error": {"message": words}})
    assert caller.post("/flows/plain/x", json={}).status_code == 200
    assert plinth.pid_of(f"{run}.0.1") == pid


ENDS = """
import os, time

class App:
    def invoke(self, given):
        if given["x"] == "end":
            time.sleep(1)
            os._exit(5)
        return {"said": given["x"]}

app = App()
print("what it says of itself", flush=True)
"""


def test_a_row_that_ends_the_process_is_named_and_the_others_are_kept(plinth: Plinth) -> None:
    file = made_from("ends", FLOWS / "plain", app="main:app")
    (file.parent / "code" / "main.py").write_text(ENDS)
    rows = file.parent / "rows.jsonl"
    rows.write_text('{"x": "first"}\n{"x": "end"}\n{"x": "third"}\n')
    arguments = ("flow", "evaluate", str(file), "--data", str(rows))
    said = plinth.cli(*arguments, check=False)
    words = " ".join(said.err.split())
    assert said.code == 1
    assert "exited with code 5 while row 2 ran; the last line that it printed: " in words
    assert "first" in said.out
    assert "third" in said.out
    as_json = plinth.cli(*arguments, "--json", check=False).json
    assert [each["row"] for each in as_json["results"]] == [1, 3]
    assert "while row 2 ran" in as_json["error"]


def test_a_streamed_answer_says_that_its_node_wanted_to_end(
    plinth: Plinth, caller: httpx.Client
) -> None:
    file = made_from("pieces", FLOWS / "plain", app="main:app")
    (file.parent / "code" / "main.py").write_text(
        "import sys\n\nclass App:\n    def invoke(self, given): ...\n"
        "    def stream(self, given):\n        yield 1\n        sys.exit(3)\n\napp = App()\n"
    )
    plinth.cli("apply", str(file))
    for _ in range(2):
        answer = caller.post(
            "/flows/pieces/score", json={}, headers={"accept": "text/event-stream"}
        )
        first, last = answer.text.strip().split("\n\n")
        assert (answer.status_code, first) == (200, "data: 1")
        assert "the flow's code called `sys.exit(3)` instead of answering" in last
    plinth.cli("delete", "pieces")


def test_a_flow_that_is_none_has_no_traces(plinth: Plinth) -> None:
    with pytest.raises(PlinthError, match="is an endpoint of models"):
        plinth.client.flow_traces("smollm2")
    with pytest.raises(NotFound):
        plinth.client.flow_traces("nothing")
