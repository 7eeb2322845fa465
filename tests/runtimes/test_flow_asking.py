"""What nodes ask for in vain is named: an input of a tool, an endpoint of the gateway."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from plinth.runtimes.flowhost.asking import check_tool_inputs, refused_endpoint


def shorten(text: str, most: int = 3) -> str:
    return text[:most]


def takes_all(**given: Any) -> Any:
    return given


def node_of(*inputs: str, kind: str = "python") -> Any:
    return SimpleNamespace(name="shorten", type=kind, inputs=dict.fromkeys(inputs))


def test_an_input_that_a_tool_has_not_is_refused() -> None:
    check_tool_inputs([node_of("text", "most")], {"shorten": shorten}.__getitem__)
    with pytest.raises(LookupError, match=r"node `shorten` gives its tool the input `tex`") as told:
        check_tool_inputs([node_of("tex")], {"shorten": shorten}.__getitem__)
    assert str(told.value).endswith("which that has not (did you mean `text`?); it has text, most")


def test_an_input_that_a_tool_needs_and_is_not_given_is_refused() -> None:
    check_tool_inputs([node_of("text")], {"shorten": shorten}.__getitem__)
    with pytest.raises(LookupError) as told:
        check_tool_inputs([node_of("most")], {"shorten": shorten}.__getitem__)
    words = "node `shorten` does not give its tool the input `text`, which has no default"
    assert str(told.value) == words

    def takes_more(text: str, *more: str, end: str, **others: str) -> str:
        return text + end

    with pytest.raises(LookupError, match="the input `end`"):
        check_tool_inputs([node_of("text", "x")], {"shorten": takes_more}.__getitem__)


def test_what_a_tool_or_a_template_takes_of_any_name_is_let_pass() -> None:
    check_tool_inputs([node_of("anything")], {"shorten": takes_all}.__getitem__)
    check_tool_inputs([node_of("anything")], {"shorten": 3}.__getitem__)
    check_tool_inputs([node_of("anything", kind="llm")], {}.__getitem__)


class Refused(Exception):
    """As of the `openai` client."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status_code = status


def test_an_endpoint_that_there_is_not_is_named() -> None:
    wrapped = RuntimeError("wrapped")
    wrapped._ex = Refused(403)  # type: ignore[attr-defined]
    assert refused_endpoint("ask", wrapped, {"deployment_name": "smolm2"}) == (
        "node `ask` asks the endpoint `smolm2` (its `deployment_name`): there is none of that name "
        "which the flow's team may call"
    )
    assert refused_endpoint("ask", Refused(404), {"model": "m"}) is not None
    assert refused_endpoint("ask", Refused(500), {"model": "m"}) is None
    assert refused_endpoint("ask", Refused(403), {}) is None
    assert refused_endpoint("ask", ValueError(), {"model": "m"}) is None
