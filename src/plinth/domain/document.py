"""YAML text to plain values that know their place in the file.

Read as YAML 1.2: `yes`, `on` and `1:30` are texts, `true` and `12` are not. `load.py` calls it; it
never builds objects from tags, never loops on aliases, and gives up early on huge input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml
from yaml import events

MAX_CHARACTERS = 256 * 1024
MAX_DEPTH = 32
MAX_VALUES = 10_000

Path: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
# A number with a leading zero is a text: YAML 1.1 reads it as octal, YAML 1.2 as decimal.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,29})")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*|(?=[eE])))(?:[eE][-+]?[0-9]{1,4})?"
)
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")
_TWICE = "this field stands twice in the same mapping; keep one"
_NO_COLON = "could not find expected ':'"
_PLAIN_NAME = re.compile(r"[^\[\].]+")
# PyYAML is not built with libyaml everywhere.
_QUICK = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Node:
    """A value and the offset of its first character. `written`: as in the file, without quotes.

    `keys` holds the offset of each key of a mapping. `size` counts the values in it.
    """

    offset: int
    value: bool | int | float | str | tuple[Node, ...] | dict[str, Node] | None
    written: str | None = None
    keys: dict[str, int] = field(default_factory=dict)
    size: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the text itself, at an offset. `path` is where it stands in the values."""

    offset: int
    message: str
    path: Path = ()
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A text read as one YAML document. `root` is None when it could not be read."""

    text: str
    root: Node | None
    problems: tuple[Problem, ...]

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of a character, both from 1; the line always exists."""
        # The mark at the end of the text stands after the last line break.
        offset = max(0, min(offset, len(self.text.rstrip("\n")), len(self.text) - 1))
        start = self.text.rfind("\n", 0, offset) + 1
        return self.text.count("\n", 0, offset) + 1, offset - start + 1

    def find(self, path: Path) -> tuple[int, Node | None]:
        """Return the offset that best shows `path`, and the node there if there is one.

        Where the path leads past what is written, the nearest value above it is shown.
        """
        if self.root is None:
            return 0, None
        node, offset = self.root, self.root.offset
        for part in path:
            below = node.value
            if isinstance(below, dict) and isinstance(part, str) and part in below:
                node, offset = below[part], node.keys[part]
            elif isinstance(below, tuple) and isinstance(part, int) and part < len(below):
                node = below[part]
                offset = node.offset
            else:
                return offset, None
        return offset, node


class _Unreadable(Exception):
    """Nothing after this place can be understood."""

    def __init__(self, offset: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(offset, message, hint=hint)


def read_document(text: str, *, quick: bool = False) -> Document:
    """Read `text` as one YAML document; what is wrong is in `problems`. Never raises.

    `quick`: by libyaml where it is there, eight times as fast. It accepts a little more and less
    than the parser in Python, and its words differ; so it is for files that are Plinth's own.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    reader = _Reader()
    try:
        if len(text) > MAX_CHARACTERS:
            raise _Unreadable(
                0, f"the file has {len(text)} characters; at most {MAX_CHARACTERS} are read"
            )
        root = reader.read(_events(text, _QUICK if quick else yaml.SafeLoader))
    except _Unreadable as err:
        return Document(text, None, (*reader.problems, err.problem))
    return Document(text, root, tuple(reader.problems))


def to_value(node: Node) -> Value:
    """Return the plain value of a node: dicts, lists, texts, numbers, truth values, None."""
    if isinstance(node.value, dict):
        return {name: to_value(inner) for name, inner in node.value.items()}
    if isinstance(node.value, tuple):
        return [to_value(inner) for inner in node.value]
    return node.value


def path_text(path: Path) -> str:
    """Write a path as people do: `environment.packages[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if _PLAIN_NAME.fullmatch(part) and part.isprintable() else repr(part)
            text += f".{shown}" if text else shown
    return text


def _events(text: str, parser: Any) -> Iterator[yaml.Event]:
    """Yield the parser's events; its errors come out as ours, with their place."""
    last = 0
    try:
        for event in yaml.parse(text, Loader=parser):
            last = _offset(event)
            yield event
    except yaml.reader.ReaderError as err:
        name = f"U+{err.character:04X}" if isinstance(err.character, int) else repr(err.character)
        raise _Unreadable(err.position, f"the character {name} is not allowed in YAML") from err
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        if _NO_COLON in (err.problem or ""):
            # The parser notices at the next line; the mark of the context is the field's own.
            mark = err.context_mark or mark
        raise _Unreadable(mark.index if mark else last, *_syntax_words(err)) from err
    except (yaml.YAMLError, ValueError, OverflowError) as err:
        # PyYAML lets through what chr() and int() raise for escapes and versions out of range.
        raise _Unreadable(last, f"this is not YAML: {err}") from err


def _offset(event: yaml.Event) -> int:
    assert event.start_mark is not None  # the parser marks every event
    return event.start_mark.index


def _syntax_words(err: yaml.MarkedYAMLError) -> tuple[str, str | None]:
    """Return message and hint for what the parser did not understand."""
    problem = err.problem or "it cannot be read"
    if "'\\t'" in problem:
        hint = "replace the tabs at the start of the lines by spaces"
        return "a tab stands where YAML wants spaces", hint
    if "mapping values are not allowed" in problem:
        hint = "put the value in quotes, or correct the indentation"
        return "`: ` is not expected here", hint
    if _NO_COLON in problem:
        return "`:` and a space are missing after the name of a field", None
    if "expected <block end>" in problem:
        return "the indentation does not fit the lines above", None
    context = f" {err.context}" if err.context else ""
    return f"this is not YAML: {problem}{context}", None


class _Reader:
    """Builds nodes from the parser's events, collecting what is wrong on the way."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def read(self, stream: Iterator[yaml.Event]) -> Node:
        """Return the root of the only document."""
        root: Node | None = None
        for event in stream:
            if isinstance(event, events.DocumentStartEvent):
                if root is not None:
                    raise _Unreadable(
                        _offset(event),
                        "a second document starts here; a file holds one",
                        "write each workload into a file of its own",
                    )
                root = self._node(next(stream), stream, ())
        if root is None:
            raise _Unreadable(0, "the file is empty")
        return root

    def _node(self, event: yaml.Event, stream: Iterator[yaml.Event], path: Path) -> Node:
        offset = _offset(event)
        if isinstance(event, events.AliasEvent):
            node = self._anchors.get(event.anchor or "")
            if node is None:
                raise _Unreadable(offset, f"`*{event.anchor}` names nothing that stands above it")
            self._grow(offset, node.size)
            return node
        self._grow(offset, 1)
        if len(path) > MAX_DEPTH:
            raise _Unreadable(offset, f"values are nested more than {MAX_DEPTH} deep")
        if isinstance(event, events.MappingStartEvent):
            self._check_tag(event.tag, offset, path)
            node = self._mapping(offset, stream, path)
        elif isinstance(event, events.SequenceStartEvent):
            self._check_tag(event.tag, offset, path)
            node = self._sequence(offset, stream, path)
        else:
            assert isinstance(event, events.ScalarEvent)  # the grammar leaves nothing else
            node = self._scalar(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _mapping(self, offset: int, stream: Iterator[yaml.Event], path: Path) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, int] = {}
        event = next(stream)
        while not isinstance(event, events.MappingEndEvent):
            start = _offset(event)
            name = self._key(event, stream, path)
            node = self._node(next(stream), stream, (*path, name or "?"))
            if name is not None and name in values:
                self.problems.append(Problem(start, _TWICE, (*path, name)))
            elif name is not None:
                values[name] = node
                keys[name] = start
            event = next(stream)
        size = 1 + sum(node.size for node in values.values())
        return Node(offset, values, keys=keys, size=size)

    def _key(self, event: yaml.Event, stream: Iterator[yaml.Event], path: Path) -> str | None:
        """Return a key as the text that is written; None, and a problem, when it is no text."""
        if isinstance(event, events.ScalarEvent) and event.value != "":
            if event.value == "<<" and event.implicit[0]:
                message = "merge keys are not read; write the fields out"
                self.problems.append(Problem(_offset(event), message, path))
                return None
            return str(event.value)
        self._node(event, stream, (*path, "?"))
        message = "the name of a field must be a text that is not empty"
        self.problems.append(Problem(_offset(event), message, path))
        return None

    def _sequence(self, offset: int, stream: Iterator[yaml.Event], path: Path) -> Node:
        items: list[Node] = []
        event = next(stream)
        while not isinstance(event, events.SequenceEndEvent):
            items.append(self._node(event, stream, (*path, len(items))))
            event = next(stream)
        return Node(offset, tuple(items), size=1 + sum(node.size for node in items))

    def _scalar(self, event: events.ScalarEvent, path: Path) -> Node:
        offset = _offset(event)
        if event.implicit[0] and event.tag != "!":
            return Node(offset, _resolve(event.value), written=event.value)
        if event.tag not in (None, *_TEXT_TAGS):
            self._check_tag(event.tag, offset, path)
        return Node(offset, event.value)

    def _check_tag(self, tag: str | None, offset: int, path: Path) -> None:
        if tag not in (None, "!"):
            self.problems.append(Problem(offset, f"the tag `{tag}` is not read; remove it", path))

    def _grow(self, offset: int, size: int) -> None:
        # Aliases count in full: nine lines of them can stand for a thousand million values.
        self._count += size
        if self._count > MAX_VALUES:
            raise _Unreadable(offset, f"the file holds more than {MAX_VALUES} values")


def _resolve(text: str) -> bool | int | float | str | None:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL.fullmatch(text)
    return float(special[1] + special[2].lower()) if special else text
