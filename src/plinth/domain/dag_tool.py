"""The Python file of a node, read without running it: its tool, and what the tool needs. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

# Larger ones are nobody's, and take long to read.
_MOST_SOURCE = 500_000
TO_GATEWAY = ("AzureOpenAIConnection", "OpenAIConnection")

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Tool:
    """What a node must give its tool, and may.

    `connections`: inputs that are connections and have no default, with their types. `values`: the
    others without a default, where it is clear which function is the tool. `taken`: all that it
    takes; None: it takes any, or that is not clear. `why`: what keeps the file from being read, or
    from being a tool's; else empty.
    """

    connections: Mapping[str, str] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    taken: tuple[str, ...] | None = None
    why: str = ""


def read_tool(text: str) -> Tool:
    """Return what a node's Python file says of its tool."""
    tree, why = read_python(text)
    if tree is None:
        return Tool(why=why)
    connections = dict(_connections_of(tree))
    if not _may_have_tool(tree):
        why = "has no function with `@tool`; write `from promptflow.core import tool` and `@tool`"
        return Tool(connections, why=why)
    given = _arguments(tree)
    if given is None:
        return Tool(connections)
    values = tuple(name for name in _needed(given) if name not in connections)
    named = (*given.posonlyargs, *given.args, *given.kwonlyargs)
    taken = None if given.kwarg is not None else tuple(each.arg for each in named)
    return Tool(connections, values, taken)


def read_python(text: str) -> tuple[ast.Module | None, str]:
    """Read a module; None, and what is wrong with it, when it is none."""
    if len(text) > _MOST_SOURCE:
        return None, f"has more than {_MOST_SOURCE:,} characters"
    try:
        return ast.parse(text), ""
    except (SyntaxError, ValueError) as err:
        return None, f"is not Python: {err}"
    except (RecursionError, MemoryError):
        return None, "is not Python that can be read: its expressions are nested too deeply"


def _may_have_tool(tree: ast.Module) -> bool:
    """Tell whether anything in it may make a function a tool, by whatever name it has."""
    named = {"tool"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            named |= {each.asname for each in node.names if each.asname and "tool" in each.name}
            if any(each.name == "*" for each in node.names):
                return True
    for node in ast.walk(tree):
        makers: list[ast.expr] = []
        if isinstance(node, _Function):
            makers = node.decorator_list
        elif isinstance(node, ast.Call):
            makers = [node.func]
        if any(_sounds_like(name, named) for each in makers for name in _names(each)):
            return True
    return False


def _sounds_like(name: str, named: set[str]) -> bool:
    return name in named or "tool" in name.lower()


def _arguments(tree: ast.Module) -> ast.arguments | None:
    """Return those of the only function that is plainly a tool; None where it is not plain."""
    tools = [
        node
        for node in tree.body
        if isinstance(node, _Function) and [*map(_called, node.decorator_list)] == ["tool"]
    ]
    return tools[0].args if len(tools) == 1 else None


def _needed(given: ast.arguments) -> Iterator[str]:
    positional = [*given.posonlyargs, *given.args]
    yield from (each.arg for each in positional[: len(positional) - len(given.defaults)])
    for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        if default is None:
            yield each.arg


def _called(made: ast.expr) -> str:
    """Return the last name of a decorator: `tool` of `@tool`, `@tool()` and `@core.tool`."""
    made = made.func if isinstance(made, ast.Call) else made
    return made.id if isinstance(made, ast.Name) else getattr(made, "attr", "")


def _connections_of(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the inputs of a tool that are connections and have no default, with their types."""
    for node in ast.walk(tree):
        if not isinstance(node, _Function):
            continue
        if not any("tool" in each for made in node.decorator_list for each in _names(made)):
            continue
        plain = node.args.args[: len(node.args.args) - len(node.args.defaults)]
        for argument in plain:
            kinds = [] if argument.annotation is None else [*_names(argument.annotation)]
            kind = next((each for each in kinds if each in TO_GATEWAY), None)
            kind = kind or next((each for each in kinds if each.endswith("Connection")), None)
            if kind is not None:
                yield argument.arg, kind


def _names(tree: ast.expr) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
