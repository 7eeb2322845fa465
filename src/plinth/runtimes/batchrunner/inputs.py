"""Hold the rows of a mini-batch against the model's signature: columns of its types, or why not.

Whole columns are converted at once; where that fails, value by value, so that only the rows that
are wrong are set aside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .order import Hopeless
from .reader import LONGEST_CONTENT, BadRow, Rows

_TYPES = {
    "double": pa.float64(),
    "float": pa.float32(),
    "long": pa.int64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "binary": pa.binary(),
    "datetime": pa.timestamp("ns"),
}
_WORDS = {
    "double": "a number",
    "float": "a number",
    "long": "a whole number",
    "integer": "a whole number of 32 bits",
    "boolean": "true or false",
    "datetime": "a time like `2026-01-31T12:30:00`",
    "string": "a text",
    "binary": "bytes",
}
_FLOATS = ("double", "float")
# What stands for a missing value in text, for any type but text.
_MISSING = ("", "NA", "NaN", "nan", "null", "NULL", "None")
_SHOWN = 40


@dataclass(frozen=True)
class Wanted:
    """A column of the model's signature, by MLflow's name of its type."""

    name: str
    type: str
    required: bool


@dataclass(frozen=True)
class Signature:
    """What the model takes: columns by name, or one matrix of so many of the file's columns."""

    columns: tuple[Wanted, ...] = ()
    width: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        columns = [vars(each) for each in self.columns]
        return {"columns": columns, "width": self.width}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Signature:
        """Read what `to_json` wrote."""
        return cls(tuple(Wanted(**each) for each in found["columns"]), found["width"])


@dataclass(frozen=True)
class Checked:
    """Rows that fit: `columns` in the signature's order; `chosen`: their places in the table."""

    columns: dict[str, pa.Array]
    chosen: Any
    places: Any
    bad: tuple[BadRow, ...]

    @property
    def count(self) -> int:
        """How many rows fit."""
        return len(self.places)


def needed(signature: Signature, keep: Sequence[str], names: Sequence[str]) -> list[str] | None:
    """Return which columns of a file to read; None: all of them."""
    if signature.width is not None or not names:
        return None
    wanted = {each.name for each in signature.columns} | set(keep)
    required = {each.name for each in signature.columns if each.required} | set(keep)
    # Of a file that lacks one, every row is set aside, and whole rows are kept beside the error.
    return [name for name in names if name in wanted] if required.issubset(names) else None


def check_rows(rows: Rows, signature: Signature, keep: Sequence[str]) -> Checked:
    """Return the rows that fit the signature, and those that do not with the reason."""
    table = rows.table
    wanted = _wanted(table, signature, keep)
    names = (*(each.name for each in wanted if each.required), *keep)
    lacking = [name for name in names if name not in table.column_names]
    if lacking and len(rows.places):
        return _without(rows, lacking)
    errors: dict[int, str] = {}
    columns = {}
    for each in wanted:
        if each.name in table.column_names:
            columns[each.name] = _column(table[each.name], each, errors)
    chosen = np.array([at for at in range(len(rows.places)) if at not in errors], dtype=np.int64)
    bad = [BadRow(rows.places[at], errors[at], content_of(table, at)) for at in sorted(errors)]
    places = np.asarray(rows.places, dtype=np.int64)
    if errors:
        columns = {name: array.take(pa.array(chosen)) for name, array in columns.items()}
        places = places[chosen]
    return Checked(columns, chosen, places, (*rows.bad, *bad))


def content_of(table: pa.Table, at: int) -> str:
    """Return a row as JSON, to be kept beside its error."""
    row = table.slice(at, 1).to_pylist()[0] if table.num_columns else {}
    return json.dumps(row, default=str)[:LONGEST_CONTENT]


def _wanted(table: pa.Table, signature: Signature, keep: Sequence[str]) -> tuple[Wanted, ...]:
    if signature.width is None:
        return signature.columns
    names = [name for name in table.column_names if name not in keep]
    if len(names) != signature.width:
        raise Hopeless(
            f"the model takes a matrix of {signature.width} columns; the file has {len(names)} "
            "besides those that are kept"
        )
    return tuple(Wanted(name, "double", required=True) for name in names)


def _without(rows: Rows, lacking: Sequence[str]) -> Checked:
    """Set every row of a file aside that lacks a column."""
    names = ", ".join(f"`{name}`" for name in lacking)
    has = ", ".join(f"`{name}`" for name in rows.table.column_names[:20])
    error = f"the file has no column {names}; it has {has or 'none'}"
    bad = [BadRow(place, error, content_of(rows.table, at)) for at, place in enumerate(rows.places)]
    none = np.array([], dtype=np.int64)
    return Checked({}, none, none, (*rows.bad, *bad))


def _column(column: pa.ChunkedArray, wanted: Wanted, errors: dict[int, str]) -> pa.Array:
    """Return a column in the model's type; rows that do not fit are noted in `errors`."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    target = _TYPES[wanted.type]
    is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    if is_text and wanted.type not in ("string", "binary"):
        array = pc.if_else(pc.is_in(array, pa.array(_MISSING)), pa.scalar(None, pa.string()), array)
    try:
        converted = array if array.type == target else _cast(array, target, wanted)
    except (pa.ArrowException, ValueError):
        converted = _value_by_value(array, target, wanted, errors)
    return _without_missing(converted, wanted, errors)


def _cast(array: pa.Array, target: pa.DataType, wanted: Wanted) -> pa.Array:
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
    if wanted.type == "string" and not any(is_it(array.type) for is_it in texts):
        # A number is no text for a model that was trained on texts.
        raise ValueError("not a text")
    if wanted.type == "boolean" and pa.types.is_floating(array.type):
        raise ValueError("not true or false")
    if pa.types.is_boolean(array.type) and wanted.type != "boolean":
        raise ValueError("true and false are no numbers")
    return array.cast(target)


def _value_by_value(
    array: pa.Array, target: pa.DataType, wanted: Wanted, errors: dict[int, str]
) -> pa.Array:
    values: list[Any] = []
    for at in range(len(array)):
        one = array.slice(at, 1)
        try:
            values.append(_cast(one, target, wanted)[0].as_py() if one[0].is_valid else None)
        except (pa.ArrowException, ValueError):
            values.append(None)
            told = str(one[0].as_py())[:_SHOWN]
            errors.setdefault(at, f"`{wanted.name}`: `{told}` is not {_WORDS[wanted.type]}")
    return pa.array(values, target)


def _without_missing(array: pa.Array, wanted: Wanted, errors: dict[int, str]) -> pa.Array:
    """Note missing values where the signature, or the type, allows none."""
    if wanted.type in _FLOATS:
        array = array.fill_null(float("nan")) if array.null_count else array
        missing = pc.is_nan(array) if wanted.required else None
    elif wanted.required or wanted.type in ("long", "integer", "boolean"):
        missing = pc.is_null(array) if array.null_count else None
    else:
        missing = None
    if missing is not None and pc.any(missing).as_py():
        for at in np.flatnonzero(missing.to_numpy(zero_copy_only=False)):
            why = "has no value, and the model's signature allows no missing one"
            errors.setdefault(int(at), f"`{wanted.name}` {why}")
    return array


def to_numpy(array: pa.Array) -> Any:
    """Return a column as numpy; texts as Python's own, each distinct one made once."""
    if pa.types.is_string(array.type):
        coded = array.dictionary_encode()
        texts = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
        codes = coded.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)
        return texts[codes]
    return array.to_numpy(zero_copy_only=False)


Predict = Callable[[dict[str, pa.Array]], dict[str, Any]]
