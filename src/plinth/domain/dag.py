"""What is wrong with a flow's folder before anything runs: its DAG, or the module of its app.

Pure: `read` returns the text of a file of the folder, None where there is none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from plinth.domain.dag_tool import TO_GATEWAY, Tool, read_python, read_tool
from plinth.domain.document import Problem, read_document, to_value
from plinth.domain.flow import DAG_FILE
from plinth.domain.mistake import nearest_name
from plinth.kit.excerpt import excerpt

Read: TypeAlias = Callable[[str], str | None]

_REFERENCE = re.compile(r"\$\{\s*([A-Za-z_][A-Za-z0-9_ -]*)((?:\.[^}]*)?)\}")
_PROVIDERS = ("AzureOpenAI", "OpenAI")
_OF_FILES = ("llm", "python", "prompt")
_KINDS = (*_OF_FILES, "custom_llm")
# As promptflow's own `ValueType` has them.
_TYPES = (
    *("string", "int", "double", "bool", "list", "object", "image", "file_path", "secret"),
    *("prompt_template", "assistant_definition"),
)
_LANGUAGE = "python"
_PACKAGED = "package"
_MOST_NODES = 500
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class _Node:
    """A node as one of its variants has it."""

    name: str
    fields: Mapping[str, Any]

    @property
    def kind(self) -> str:
        found = self.fields.get("type")
        return found if isinstance(found, str) else ""

    @property
    def inputs(self) -> Mapping[str, Any]:
        found = self.fields.get("inputs")
        return found if isinstance(found, dict) else {}

    @property
    def path(self) -> str | None:
        source = self.fields.get("source")
        found = source.get("path") if isinstance(source, dict) else None
        return found if isinstance(found, str) else None

    @property
    def needs_file(self) -> bool:
        """Whether it is nothing without a file of the folder."""
        is_packaged = _below(self.fields, "source").get("type") == _PACKAGED
        return self.kind in _OF_FILES and not is_packaged


def flow_problems(app: str | None, connections: Mapping[str, Any], read: Read) -> list[str]:
    """Return what keeps a flow from running, in words that name the node or the module.

    `connections`: the custom ones that its file describes, by name. Whoever may deploy a flow may
    send any folder: its size, its depth and what is told of it are bounded.
    """
    if app is not None:
        return list(_app_problems(app, read))
    text = read(DAG_FILE)
    if text is None:
        return [
            f"the folder holds no `{DAG_FILE}`; a flow that is no prompt flow names its `app`, "
            "like `app: main:app`"
        ]
    found = _Dag(text, read, connections).problems()
    told = list(islice(found, _MOST_PROBLEMS))
    if next(found, None) is not None:
        told.append("there is more; correct these first")
    return told


def _app_problems(reference: str, read: Read) -> Iterator[str]:
    module, _, path = reference.partition(":")
    place = module.replace(".", "/")
    names = (f"{place}.py", f"{place}/__init__.py")
    file, text = next(
        ((name, text) for name in names if (text := read(name)) is not None), ("", "")
    )
    if not file:
        # It may be a module of a package that the flow's environment has.
        return
    tree, why = read_python(text)
    if tree is None:
        yield f"`app`: `{file}` {why}"
        return
    known = _bound(tree)
    wanted = path.partition(".")[0]
    if known is not None and wanted not in known:
        near = nearest_name(wanted, sorted(known))
        hint = f"; did you mean `{near}`?" if near else ""
        yield f"`app`: `{file}` has no `{excerpt(wanted)}`{hint}"


def _bound(tree: ast.Module) -> set[str] | None:
    """Return the names that a module has; None where only running it would tell."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    return None
                found.add(alias.asname or alias.name.partition(".")[0])
    return None if "__getattr__" in found else found


class _Dag:
    """A `flow.dag.yaml` that is read once, and asked for what is wrong with it."""

    def __init__(self, text: str, read: Read, custom: Mapping[str, Any]) -> None:
        self._text = text
        self._read = read
        self._custom = custom
        self._fields: Mapping[str, Any] = {}
        self._nodes: list[_Node] = []
        self._known: Mapping[str, frozenset[str]] = {}
        # By its file: many nodes may run one.
        self._tools: dict[str, Tool] = {}

    def problems(self) -> Iterator[str]:
        """Yield them; what cannot be read at all is the only one."""
        document = read_document(self._text)
        if document.root is None or document.problems:
            for problem in document.problems:
                line, _ = document.position(problem.offset)
                yield f"`{DAG_FILE}`, line {line}: {_words(problem)}"
            return
        fields: Any = to_value(document.root)
        nodes = fields.get("nodes") if isinstance(fields, dict) else None
        if not isinstance(nodes, list) or not nodes:
            yield f"`{DAG_FILE}` has no list `nodes` with a node in it"
            return
        if len(nodes) > _MOST_NODES:
            yield f"`{DAG_FILE}` has {len(nodes):,} nodes; a flow has at most {_MOST_NODES}"
            return
        self._fields = fields
        yield from self._language_problems()
        yield from self._read_nodes(nodes)
        self._known = {
            "input": frozenset(_below(fields, "inputs")),
            "node": frozenset(node.name for node in self._nodes),
        }
        for node in self._nodes:
            yield from self._node_problems(node)
        for kind in ("inputs", "outputs"):
            yield from self._declared_problems(kind)
        yield from self._output_problems()
        yield from self._cycles()

    def _language_problems(self) -> Iterator[str]:
        language = self._fields.get("language", _LANGUAGE)
        if language != _LANGUAGE:
            yield (
                f"`{DAG_FILE}`: `language` is `{excerpt(_plain(language))}`; only flows in "
                f"`{_LANGUAGE}` are hosted"
            )

    def _declared_problems(self, kind: str) -> Iterator[str]:
        """Yield what is wrong with the types of the flow's inputs, or of its outputs."""
        declared = self._fields.get(kind)
        if declared is not None and not isinstance(declared, dict):
            yield f"`{DAG_FILE}`: `{kind}` has names, like `{kind}: {{NAME: {{type: string}}}}`"
        for name, given in _below(self._fields, kind).items():
            found = given.get("type") if isinstance(given, dict) else None
            if found not in _TYPES:
                types = ", ".join(f"`{each}`" for each in _TYPES)
                yield (
                    f"{kind.removesuffix('s')} `{excerpt(name)}`: `type` is "
                    f"`{excerpt(_plain(found))}`; it must be one of {types}"
                )

    def _read_nodes(self, nodes: list[Any]) -> Iterator[str]:
        seen: set[str] = set()
        for number, given in enumerate(nodes):
            name = given.get("name") if isinstance(given, dict) else None
            if not isinstance(name, str) or not name:
                yield f"`{DAG_FILE}`: `nodes.{number}` has no `name`"
                continue
            if name in seen:
                yield f"`{DAG_FILE}`: two nodes are called `{excerpt(name)}`"
            seen.add(name)
            variants = [*self._variants(given)]
            if not variants:
                yield f"node `{excerpt(name)}` uses variants, and `node_variants` has none for it"
            elif given.get("use_variants"):
                yield from self._default_problems(name)
            self._nodes += variants

    def _default_problems(self, name: str) -> Iterator[str]:
        chosen = _below(self._fields, "node_variants", name)
        named, default = _below(chosen, "variants"), chosen.get("default_variant_id")
        if default is not None and _plain(default) not in named:
            yield (
                f"node `{excerpt(name)}`: `default_variant_id` is `{excerpt(_plain(default))}`; "
                f"its variants are {', '.join(f'`{excerpt(each)}`' for each in islice(named, 20))}"
            )

    def _variants(self, given: Mapping[str, Any]) -> Iterator[_Node]:
        name = str(given["name"])
        if not given.get("use_variants"):
            yield _Node(name, given)
            return
        for found in _below(self._fields, "node_variants", name, "variants").values():
            fields = found.get("node") if isinstance(found, dict) else None
            if isinstance(fields, dict):
                yield _Node(name, {**given, **fields})

    def _node_problems(self, node: _Node) -> Iterator[str]:
        called = f"node `{excerpt(node.name)}`"
        text = None if node.path is None else self._read(node.path)
        yield from _source_problems(node, called, is_there=text is not None)
        if node.kind not in _KINDS:
            kinds = ", ".join(f"`{each}`" for each in _KINDS)
            given = excerpt(_plain(node.fields.get("type")))
            yield f"{called}: `type` is `{given}`; it must be one of {kinds}"
        for target, kind in self._named(node):
            if target not in self._known[kind]:
                near = nearest_name(target, sorted(self._known[kind]))
                hint = f"; did you mean `{near}`?" if near else ""
                yield f"{called} refers to {kind} `{excerpt(target)}`, which there is not{hint}"
        if node.kind == "llm":
            yield from _provider_problems(node, called)
        if node.kind == "python" and text is not None:
            yield from self._tool_problems(node, called, text)

    def _tool_problems(self, node: _Node, called: str, text: str) -> Iterator[str]:
        assert node.path is not None  # its text was read
        if node.path not in self._tools:
            self._tools[node.path] = read_tool(text)
        tool = self._tools[node.path]
        if tool.why:
            yield f"{called}: `{excerpt(node.path)}` {tool.why}"
        yield from _input_problems(node, called, tool)
        for name, kind in tool.connections.items():
            given = node.inputs.get(name)
            if given in (None, ""):
                yield f"{called} has no connection for its input `{excerpt(name)}` ({kind})"
            elif not isinstance(given, str):
                yield f"{called}: its input `{excerpt(name)}` is no name of a connection ({kind})"
            elif kind not in TO_GATEWAY and given not in self._custom:
                yield (
                    f"{called} needs the connection `{excerpt(given)}` ({kind}), which is "
                    "missing; the flow's file can describe it: "
                    f"`connections: {{{excerpt(given)}: {{KEY: VALUE}}}}`"
                )

    def _output_problems(self) -> Iterator[str]:
        for name, given in _below(self._fields, "outputs").items():
            reference = given.get("reference") if isinstance(given, dict) else None
            if not isinstance(reference, str) or not reference:
                yield (
                    f"output `{excerpt(name)}` has no `reference`, like "
                    "`reference: ${NODE.output}`"
                )
            for target, kind in _references(reference):
                if target not in self._known[kind]:
                    yield (
                        f"output `{excerpt(name)}` refers to {kind} `{excerpt(target)}`, "
                        "which there is not"
                    )

    def _named(self, node: _Node) -> Iterator[tuple[str, str]]:
        for value in (*node.inputs.values(), _below(node.fields, "activate").get("when")):
            yield from _references(value)

    def _cycles(self) -> Iterator[str]:
        """Yield the first cycle, as the path that leads back to where it began."""
        after: dict[str, list[str]] = {}
        for node in self._nodes:
            asked = [target for target, kind in self._named(node) if kind == "node"]
            after.setdefault(node.name, []).extend(asked)
        done: set[str] = set()
        for start in after:
            path = _cycle_from(start, after, done)
            if path:
                shown = " -> ".join(f"`{each}`" for each in path)
                yield f"the nodes wait for each other in a cycle: {shown}"
                return


def _source_problems(node: _Node, called: str, *, is_there: bool) -> Iterator[str]:
    source = node.fields.get("source")
    if node.path is not None:
        if not is_there:
            yield f"{called}: there is no file `{excerpt(node.path)}` in the folder"
    elif node.kind in _OF_FILES and "source" not in node.fields:
        yield f"{called} has no `source`"
    elif node.kind in _OF_FILES and not isinstance(source, dict):
        yield f"{called}: `source` has fields, like `source: {{type: code, path: tool.py}}`"
    elif "path" in _below(source) or node.needs_file:
        given = excerpt(_plain(_below(source).get("path")))
        yield f"{called}: `source.path` is `{given}`; it must be a file's name, like `tool.py`"


def _input_problems(node: _Node, called: str, tool: Tool) -> Iterator[str]:
    """Yield the inputs that a tool has not; without such, those that it needs and is not given."""
    strange = [] if tool.taken is None else [each for each in node.inputs if each not in tool.taken]
    for name in strange:
        near = nearest_name(_plain(name), tool.taken or ())
        hint = f" (did you mean `{excerpt(near)}`?)" if near else ""
        listed = ", ".join(excerpt(each) for each in islice(tool.taken or ("none",), 20))
        yield (
            f"{called} gives its tool the input `{excerpt(_plain(name))}`, which that has not"
            f"{hint}; it has {listed}"
        )
    for name in () if strange else tool.values:
        if name not in node.inputs:
            yield (
                f"{called} does not give its tool the input `{excerpt(name)}`, which has no default"
            )


def _provider_problems(node: _Node, called: str) -> Iterator[str]:
    provider = node.fields.get("provider")
    if not node.fields.get("connection"):
        yield (
            f"{called} names no `connection`; any name will do, it leads to the gateway: "
            "`connection: open_ai_connection`"
        )
    known = " and ".join(f"`{each}`" for each in _PROVIDERS)
    if provider is None:
        yield f"{called} names no `provider`; {known} lead to the gateway"
    elif provider not in _PROVIDERS:
        yield (
            f"{called}: `provider` is `{excerpt(_plain(provider))}`; {known} lead to the gateway"
        )


def _cycle_from(start: str, after: Mapping[str, list[str]], done: set[str]) -> list[str]:
    """Return a path of nodes, each of which waits for the next, that ends where it began."""
    path, waiting = {start: 0}, [iter(after.get(start, ()))]
    while waiting:
        following = next(waiting[-1], None)
        if following is None:
            done.add(path.popitem()[0])
            waiting.pop()
        elif following in path:
            return [*list(path)[path[following] :], following]
        elif following not in done and following in after:
            path[following] = len(path)
            waiting.append(iter(after[following]))
    return []


def _references(value: Any) -> Iterator[tuple[str, str]]:
    """Yield what a value refers to, with whether that is an input of the flow or a node."""
    if not isinstance(value, str):
        return
    for match in _REFERENCE.finditer(value):
        name, rest = match[1].strip(), match[2]
        if name in ("inputs", "flow"):
            yield rest.lstrip(".").partition(".")[0].partition("[")[0], "input"
        elif name != "run":
            yield name, "node"


def _below(fields: Any, *path: str) -> Mapping[str, Any]:
    for name in path:
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields if isinstance(fields, dict) else {}


def _plain(value: Any) -> str:
    """Return a value for a message; of a list or a mapping, which may be huge, what it is."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "missing" if value is None else str(value)


def _words(problem: Problem) -> str:
    return f"{problem.message}; {problem.hint}" if problem.hint else problem.message
