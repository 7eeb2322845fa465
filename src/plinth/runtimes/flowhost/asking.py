"""What a prompt flow's nodes ask for that is not there: inputs of their tools, endpoints.

Knows nothing of promptflow but the fields of its objects, so that it is tried without it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

# By these the gateway says that there is no such endpoint, or not for this flow.
_NOT_THERE = (403, 404)
_MODEL_INPUTS = ("deployment_name", "model")


def check_tool_inputs(nodes: Iterable[Any], tool_of: Callable[[str], Any]) -> None:
    """Raise LookupError naming each node that gives its Python tool an input which that has not.

    Likewise for one that does not give an input which its tool needs. `tool_of`: the function that
    a node calls, by the node's name.
    """
    wrong = "; ".join(each for node in nodes for each in _wrong_inputs(node, tool_of))
    if wrong:
        raise LookupError(wrong)


def _wrong_inputs(node: Any, tool_of: Callable[[str], Any]) -> Iterator[str]:
    # The inputs of LLM nodes and prompts are also the variables of their templates.
    if str(getattr(node.type, "value", node.type)) != "python":
        return
    try:
        taken = inspect.signature(tool_of(node.name)).parameters
    except (ValueError, TypeError):
        # Not Python's own: nobody knows what it takes.
        return
    strange = [*_strange(node, taken)]
    # Where one is misspelt, the one that is missing is said with it.
    yield from strange or _missing(node, taken)


def _strange(node: Any, taken: Mapping[str, inspect.Parameter]) -> Iterator[str]:
    if any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        return
    for name in node.inputs:
        if name not in taken:
            yield (
                f"node `{node.name}` gives its tool the input `{name}`, which that has not"
                f"{_near(name, taken)}; it has {', '.join(taken) or 'none'}"
            )


def _missing(node: Any, taken: Mapping[str, inspect.Parameter]) -> Iterator[str]:
    for name, each in taken.items():
        is_one = each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if is_one and each.default is each.empty and name not in node.inputs:
            yield (
                f"node `{node.name}` does not give its tool the input `{name}`, which has no "
                "default"
            )


def _near(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean `{found[0]}`?)" if found else ""


def refused_endpoint(node: str, error: BaseException, inputs: Mapping[str, Any]) -> str | None:
    """Say which endpoint a node asked in vain; None where the error is another one."""
    cause = getattr(error, "_ex", None) or error.__cause__ or error
    if getattr(cause, "status_code", None) not in _NOT_THERE:
        return None
    for name in _MODEL_INPUTS:
        if isinstance(inputs.get(name), str):
            return (
                f"node `{node}` asks the endpoint `{inputs[name]}` (its `{name}`): there is none "
                "of that name which the flow's team may call"
            )
    return None
