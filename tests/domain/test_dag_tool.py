"""A node's file tells what its tool needs, where that is plain; it is never run."""

from __future__ import annotations

import pytest

from plinth.domain.dag_tool import read_python, read_tool

TOOL = "from promptflow.core import tool\n\n"


def needed(text: str) -> tuple[str, ...]:
    return read_tool(TOOL + text).values


@pytest.mark.parametrize("made", ["@tool", "@tool()", "@core.tool", "@core.tool(name='a')"])
def test_inputs_without_a_default_are_needed(made: str) -> None:
    arguments = "a, /, b, c=1, *more, d, e=2, **others"
    assert needed(f"{made}\ndef run({arguments}): ...\n") == ("a", "b", "d")
    assert needed(f"{made}\nasync def run({arguments}): ...\n") == ("a", "b", "d")
    assert read_tool(f"{made}\ndef run({arguments}): ...\n").taken is None
    fixed = "a, /, b, c=1, *more, d, e=2"
    assert read_tool(f"{made}\ndef run({fixed}): ...\n").taken == ("a", "b", "c", "d", "e")


def test_connections_are_told_apart() -> None:
    found = read_tool(TOOL + "@tool\ndef run(text, search: CustomConnection): ...\n")
    assert (found.values, dict(found.connections)) == (("text",), {"search": "CustomConnection"})


@pytest.mark.parametrize(
    "text",
    [
        # Another decorator may give what is missing; of two, nobody knows which one is meant.
        "@filled\n@tool\ndef run(a): ...\n",
        "@tool\ndef run(a): ...\n\n@tool\ndef walk(b): ...\n",
        "class Made(ToolProvider):\n    @tool\n    def run(self, a): ...\n",
        "run = tool(lambda a: a)\n",
    ],
)
def test_what_is_not_plain_is_left_to_its_start(text: str) -> None:
    found = read_tool(TOOL + text)
    assert (found.values, found.why) == ((), "")


@pytest.mark.parametrize(
    "text",
    [
        "from promptflow.core import tool as node\n@node\ndef run(a): ...\n",
        "from mine import *\n@made\ndef run(a): ...\n",
        "import promptflow.core as core\n@core.tool\ndef run(a): ...\n",
    ],
)
def test_a_tool_may_be_made_under_any_name(text: str) -> None:
    assert read_tool(text).why == ""


@pytest.mark.parametrize("text", ["", "x = 1\n", TOOL, "def run(a): ...\n"])
def test_a_file_in_which_nothing_makes_a_tool_has_none(text: str) -> None:
    assert read_tool(text).why.startswith("has no function with `@tool`")


def test_what_is_no_python_says_so() -> None:
    assert read_tool("def (").why.startswith("is not Python: ")
    assert read_python("x = 1\n" * 100_000)[1] == "has more than 500,000 characters"
