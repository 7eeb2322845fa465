"""One mistake in a file that a person wrote, in words that lead to its repair.

`load.py` and the catalog collect them; this module turns pydantic's errors into our own words.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from plinth.domain.document import Path, path_text
from plinth.kit.units import exact_bytes, exact_duration, parse_bytes, parse_duration

_LONGEST_VALUE = 60
_LONGEST_MESSAGE = 300
_QUOTED = re.compile(r"'([^']*)'")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong at a place in a file. `line` and `column` count from 1.

    `field` is the path to it like `environment.packages[0]`, empty for the file as a whole.
    `accepted` are the values or names that would do; `nearest` is the likeliest of them.
    """

    file: str
    line: int
    column: int
    field: str
    message: str
    accepted: tuple[str, ...] | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        """Write it on one line: place, field, fact, the nearest name, what is accepted."""
        where = f"{self.file}:{self.line}: "
        field = f"{self.field}: " if self.field else ""
        nearest = f"; did you mean `{self.nearest}`?" if self.nearest else ""
        accepted = ""
        if self.accepted:
            accepted = f"{'' if self.nearest else ';'} accepted: {', '.join(self.accepted)}"
        return f"{where}{field}{self.message}{nearest}{accepted}"


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of a mistake, before its place in the file is known."""

    message: str
    accepted: tuple[str, ...] | None = None
    nearest: str | None = None


def nearest_name(name: str, names: Sequence[str]) -> str | None:
    """Return the name that `name` was probably meant to be, or None."""
    plain = {_plain(candidate): candidate for candidate in names}
    found = difflib.get_close_matches(_plain(name), list(plain), n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def describe(error: ErrorDetails, model: type[BaseModel], written: str | None) -> Words:
    """Put one of pydantic's errors into our words.

    `model` is what the file was read as; `written` is the value as it stands in the file, where it
    is text without quotes.
    """
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown_field(error, model)
    if kind == "literal_error":
        return _not_one_of(error, model)
    if kind in ("model_type", "model_attributes_type"):
        inner = model_at(model, error["loc"])
        fields = tuple(inner.model_fields) if inner else None
        return Words(f"{_shown(error['input'])} where a mapping of fields is needed", fields)
    say = _WORDS.get(kind)
    message = say(error, written) if say else _lower_first(error["msg"])
    if kind in _LIMITS:
        message = _outside(error, model)
    return Words(_cut(message, _LONGEST_MESSAGE))


def told(error: ValidationError, model: type[BaseModel]) -> str:
    """Return all that is wrong with what was to be a `model`, for what was not read from a file."""
    found = []
    for each in error.errors():
        words = describe(each, model, None)
        field = f"{path_text(each['loc'])}: " if each["loc"] else ""
        nearest = f"; did you mean `{words.nearest}`?" if words.nearest else ""
        accepted = f"; accepted: {', '.join(words.accepted)}" if words.accepted else ""
        found.append(f"{field}{words.message}{nearest}{accepted}")
    return "; ".join(found)


def model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Return the model that stands at `path` below `model`, or None where there is none."""
    annotation: Any = model
    for part in path:
        annotation = _bare(annotation)
        if isinstance(part, str) and _is_model(annotation):
            field = annotation.model_fields.get(part)
            annotation = field.annotation if field else None
        else:
            arguments = get_args(annotation)
            # list and tuple hold their items first, a mapping its values last.
            annotation = arguments[0 if isinstance(part, int) else -1] if arguments else None
    annotation = _bare(annotation)
    return annotation if _is_model(annotation) else None


def nested_fields(model: type[BaseModel], before: Path = ()) -> list[str]:
    """Return the path to each field below a field of `model`, like `resources.cpu`."""
    found = []
    for name, field in model.model_fields.items():
        inner = _bare(field.annotation)
        if before:
            found.append(path_text((*before, name)))
        if _is_model(inner):
            found += nested_fields(inner, (*before, name))
    return found


def _unknown_field(error: ErrorDetails, model: type[BaseModel]) -> Words:
    *parent, name = error["loc"]
    inner = model_at(model, tuple(parent))
    names = tuple(inner.model_fields) if inner else ()
    near = nearest_name(str(name), names)
    if near is None:
        near = next((path for path in nested_fields(model) if path.endswith(f".{name}")), None)
    return Words("unknown field", names or None, near)


def _not_one_of(error: ErrorDetails, model: type[BaseModel]) -> Words:
    *parent, name = error["loc"]
    inner = model_at(model, tuple(parent))
    field = inner.model_fields.get(str(name)) if inner else None
    accepted = tuple(str(value) for value in get_args(field.annotation)) if field else ()
    if field is None or get_origin(field.annotation) is not Literal:
        # Inside of a list, or beside None: pydantic's own list of them is read.
        accepted = tuple(_QUOTED.findall(error.get("ctx", {}).get("expected", "")))
    value = error["input"]
    near = nearest_name(value, accepted) if isinstance(value, str) else None
    return Words(f"{_shown(value)} is not one of the accepted values", accepted or None, near)


def _bare(annotation: Any) -> Any:
    """Take `X` out of `Annotated[X, ...]` and of `X | None`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, types.UnionType):
            rest = [part for part in get_args(annotation) if part is not type(None)]
            if len(rest) != 1:
                return None
            annotation = rest[0]
        else:
            return annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _shown(value: Any) -> str:
    if value is None:
        return "nothing stands"
    if isinstance(value, dict):
        return "a mapping stands"
    if isinstance(value, list | tuple):
        return "a list stands"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{_cut(text, _LONGEST_VALUE)}`"


def _needs(what: str) -> Callable[[ErrorDetails, str | None], str]:
    return lambda error, _: f"{_shown(error['input'])} where {what} is needed"


def _text_wanted(error: ErrorDetails, written: str | None) -> str:
    value = error["input"]
    if isinstance(value, bool):
        read = "true or false"
    elif isinstance(value, int | float):
        read = f"the number {value}"
    else:
        return f"{_shown(value)} where a text is needed"
    shown = _cut(written or str(value), _LONGEST_VALUE)
    return f'`{shown}` without quotes is read as {read}, and a text is needed; write "{shown}"'


def _outside(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Say what a number must be, in the unit in which files have it."""
    relation, key = _LIMITS[error["type"]]
    bound = error.get("ctx", {}).get(key)
    readers = _readers_at(model, error["loc"])
    if isinstance(bound, int | float) and parse_duration in readers:
        bound = exact_duration(bound)
    elif isinstance(bound, int) and parse_bytes in readers:
        bound = exact_bytes(bound)
    return f"{_shown(error['input'])} is not accepted; it must be {relation} {bound}"


def _readers_at(model: type[BaseModel], path: Path) -> list[Any]:
    """Return what reads the value at `path` from what a file has there."""
    *parent, name = path or ("",)
    inner = model_at(model, tuple(parent))
    field = inner.model_fields.get(str(name)) if inner else None
    if field is None:
        return []
    found, left = [], [*field.metadata, field.annotation]
    while left:
        # Of `Seconds | None` the reader stands within; of `Seconds` beside.
        part = left.pop()
        left += [*getattr(part, "__metadata__", ()), *get_args(part)]
        found.append(getattr(part, "func", None))
    return found


def _own_words(error: ErrorDetails, _: str | None) -> str:
    return str(error.get("ctx", {}).get("error", error["msg"]))


_WORDS: dict[str, Callable[[ErrorDetails, str | None], str]] = {
    "missing": lambda _error, _written: "this field is required",
    "value_error": _own_words,
    "string_type": _text_wanted,
    "string_unicode": lambda _error, _written: "the text holds characters that are not Unicode",
    "bool_type": _needs("true or false"),
    "bool_parsing": _needs("true or false"),
    "int_type": _needs("a whole number"),
    "int_parsing": _needs("a whole number"),
    "int_parsing_size": _needs("a smaller number"),
    "int_from_float": _needs("a whole number"),
    "float_type": _needs("a number"),
    "float_parsing": _needs("a number"),
    "finite_number": _needs("a finite number"),
    "tuple_type": _needs("a list like `[a, b]`"),
    "dict_type": _needs("a mapping like `{name: value}`"),
    "too_short": lambda _error, _written: "it is empty, and at least one item is needed",
}

_LIMITS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
