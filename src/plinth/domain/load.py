"""YAML text to a workload; every mistake of the file at once, with its line and its repair.

The command line calls it before anything is sent, and the catalog reads its own files by `load_as`.
It does no I/O: `file` only names the file in messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from plinth.domain.application import DECLARATIONS, Declaration
from plinth.domain.contradiction import Contradiction
from plinth.domain.document import Document, Node, Path, Value, path_text, read_document, to_value
from plinth.domain.mistake import Mistake, describe, nearest_name
from plinth.kit.errors import PlinthError

T = TypeVar("T", bound=BaseModel)

# More would only push the first ones off the screen.
_MOST_LINES = 50
_REFERENCE = "docs/reference/workload.md describes every field"


class LoadError(PlinthError):
    """A file cannot be read as what it should be; `mistakes` holds everything wrong with it."""

    code = "invalid_file"

    def __init__(self, mistakes: Sequence[Mistake], *, hint: str | None = None) -> None:
        ordered = tuple(sorted(mistakes, key=lambda m: (m.line, m.column, m.field, m.message)))
        lines = [str(mistake) for mistake in ordered[:_MOST_LINES]]
        if len(ordered) > _MOST_LINES:
            lines.append(f"and {len(ordered) - _MOST_LINES} more mistakes")
        super().__init__("\n".join(lines), hint=hint)
        self.mistakes = ordered


def load_workload(text: str | bytes, file: str) -> Declaration:
    """Read a workload file, of whatever kind. Raises LoadError with all of its mistakes."""
    document = _read(text, file)
    mistakes = _problems(document, file)
    fields = _fields(document, file, mistakes)
    kind = _kind(fields, document, file, mistakes)
    if kind is not None:
        model = DECLARATIONS[kind]
        workload = _validate(model, {**fields, "kind": kind}, document, file, mistakes)
        if workload is not None and not mistakes:
            return workload
    raise LoadError(mistakes, hint=_hint(document))


def load_as(model: type[T], text: str | bytes, file: str, *, quick: bool = False) -> T:
    """Read a file as one value of `model`. Raises LoadError with all of its mistakes.

    `quick` is for large files of Plinth's own; what is wrong with one is told in the same words.
    """
    document = _read(text, file, quick=quick)
    if quick and document.problems:
        document = _read(text, file)
    mistakes = _problems(document, file)
    value = _validate(model, _fields(document, file, mistakes), document, file, mistakes)
    if value is None or mistakes:
        raise LoadError(mistakes)
    return value


def _read(content: str | bytes, file: str, *, quick: bool = False) -> Document:
    if isinstance(content, str):
        return read_document(content, quick=quick)
    try:
        return read_document(content.decode(), quick=quick)
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        mistake = Mistake(file, line, 1, "", f"the byte 0x{content[err.start]:02x} is not UTF-8")
        raise LoadError([mistake], hint="save the file as UTF-8") from err


def _problems(document: Document, file: str) -> list[Mistake]:
    return [
        Mistake(file, *document.position(problem.offset), path_text(problem.path), problem.message)
        for problem in document.problems
    ]


def _fields(document: Document, file: str, mistakes: list[Mistake]) -> dict[str, Value]:
    """Return the file's outermost mapping. Raises LoadError when there is none."""
    if document.root is None:
        raise LoadError(mistakes, hint=_hint(document))
    value = to_value(document.root)
    if isinstance(value, dict):
        return value
    line, column = document.position(document.root.offset)
    message = "the file is empty" if value is None else "a file holds fields like `name: value`"
    mistakes.append(Mistake(file, line, column, "", message))
    raise LoadError(mistakes, hint=_hint(document))


def _kind(
    fields: dict[str, Value], document: Document, file: str, mistakes: list[Mistake]
) -> str | None:
    """Return the kind to read the file as; a wrong one is a mistake, and the likeliest is tried.

    So that the other mistakes of the file are found in the same reading.
    """
    written = fields.get("kind")
    if isinstance(written, str) and written in DECLARATIONS:
        return written
    near = nearest_name(written, tuple(DECLARATIONS)) if isinstance(written, str) else None
    message = f"`{written}` is not a kind of workload"
    if written is None:
        message = "this field is required: it says what the file declares"
    elif not isinstance(written, str):
        message = "a kind of workload is a text"
    offset, _ = document.find(("kind",))
    place = document.position(offset)
    mistakes.append(Mistake(file, *place, "kind", message, tuple(DECLARATIONS), near))
    return near or _likeliest_kind(fields)


def _likeliest_kind(fields: dict[str, Value]) -> str | None:
    known = {
        kind: len(fields.keys() & model.model_fields.keys()) for kind, model in DECLARATIONS.items()
    }
    most = max(known.values())
    best = [kind for kind, count in known.items() if count == most]
    return best[0] if len(best) == 1 else None


def _validate(
    model: type[T],
    fields: dict[str, Value],
    document: Document,
    file: str,
    mistakes: list[Mistake],
) -> T | None:
    try:
        return model.model_validate(fields)
    except ValidationError as err:
        mistakes += [
            _mistake(each, model, document, file)
            for error in err.errors()
            for each in _by_field(error)
        ]
        return None


def _by_field(error: ErrorDetails) -> list[ErrorDetails]:
    """Return an error of a value as a whole as one for each field that is to blame."""
    reason = error.get("ctx", {}).get("error")
    if not isinstance(reason, Contradiction):
        return [error]
    found = []
    for path, words in reason.found:
        one = error.copy()
        one["loc"], one["ctx"] = (*error["loc"], *path), {"error": ValueError(words)}
        found.append(one)
    return found


def _mistake(error: ErrorDetails, model: type[BaseModel], document: Document, file: str) -> Mistake:
    path: Path = error["loc"]
    # pydantic marks a mapping's key by a last part of its own.
    path = path[:-1] if path and path[-1] == "[key]" else path
    offset, node = document.find(path)
    words = describe(error, model, node.written if node else None)
    message = words.message
    if error["type"] == "extra_forbidden" and len(path) == 1:
        message += _other_kinds(str(path[0]), model)
    line, column = document.position(_shown_offset(offset, node, error["type"]))
    return Mistake(file, line, column, path_text(path), message, words.accepted, words.nearest)


def _shown_offset(offset: int, node: Node | None, kind: str) -> int:
    """Return where to point: at a wrong scalar itself, else at its key or the value above."""
    is_scalar = node is not None and not isinstance(node.value, dict | tuple | None)
    return node.offset if node and is_scalar and kind != "extra_forbidden" else offset


def _other_kinds(name: str, model: type[BaseModel]) -> str:
    owners = [
        f"`{kind}`"
        for kind, other in DECLARATIONS.items()
        if other is not model and model in DECLARATIONS.values() and name in other.model_fields
    ]
    return f" here; it belongs to kind {' or '.join(owners)}" if owners else ""


def _hint(document: Document) -> str:
    if document.root is None or document.root.value is None:
        for problem in document.problems:
            if problem.hint:
                return problem.hint
        return f"a workload starts with `kind: {'` or `kind: '.join(DECLARATIONS)}`; {_REFERENCE}"
    return f"correct the file and run the same command again; {_REFERENCE}"
