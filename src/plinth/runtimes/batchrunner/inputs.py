"""Hold the rows of a mini-batch against the model's signature: columns of its types, or why not.

Whole columns are converted at once; where that fails, value by value, so that only the rows that
are wrong are set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .json_rows import JsonRows, as_said, natural
from .order import Hopeless
from .rows import BadRow, Rows

# By MLflow's name of a type.
TYPES = {
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
    """Rows that fit: `columns` in the signature's order; `chosen`: their places in the table.

    `kept`: the columns that are passed on and are none of the model's.
    """

    columns: dict[str, pa.Array]
    kept: dict[str, pa.Array]
    chosen: Any
    places: Any
    bad: tuple[BadRow, ...]

    @property
    def count(self) -> int:
        """How many rows fit."""
        return len(self.places)


def needed(signature: Signature, keep: Sequence[str], names: Sequence[str]) -> list[str] | None:
    """Return which columns of a file to read; None: all. Without `names` each row has its own."""
    if signature.width is not None:
        return None
    wanted = dict.fromkeys((*(each.name for each in signature.columns), *keep))
    if not names:
        return list(wanted)
    required = {each.name for each in signature.columns if each.required} | set(keep)
    # Of a file that lacks one, every row is set aside, and whole rows are kept beside the error.
    return [name for name in names if name in wanted] if required.issubset(names) else None


def check_rows(
    rows: Rows | JsonRows,
    signature: Signature,
    keep: Sequence[str],
    kept_types: Mapping[str, pa.DataType] | None = None,
) -> Checked:
    """Return the rows that fit the signature, and those that do not with the reason.

    `kept_types`: the types that kept columns have in all parts, as far as that is known.
    """
    wanted = _wanted(rows.names, signature, keep)
    names = (*(each.name for each in wanted if each.required), *keep)
    lacking = [name for name in names if name not in rows.names]
    if lacking and len(rows.places):
        return _without(rows, lacking)
    errors: dict[int, str] = {}
    columns = {}
    for each in wanted:
        if each.name in rows.names:
            columns[each.name] = _column(rows, each, errors)
    kept = {
        name: _kept_column(rows.column(name), name, (kept_types or {}).get(name), errors)
        for name in keep
        if name not in columns and name in rows.names
    }
    chosen = np.array([at for at in range(len(rows.places)) if at not in errors], dtype=np.int64)
    bad = [BadRow(rows.places[at], errors[at], rows.content(at)) for at in sorted(errors)]
    places = np.asarray(rows.places, dtype=np.int64)
    if errors:
        fit = pa.array(chosen)
        columns = {name: array.take(fit) for name, array in columns.items()}
        kept = {name: array.take(fit) for name, array in kept.items()}
        places = places[chosen]
    return Checked(columns, kept, chosen, places, (*rows.bad, *bad))


def _wanted(given: Sequence[str], signature: Signature, keep: Sequence[str]) -> tuple[Wanted, ...]:
    if signature.width is None:
        return signature.columns
    names = [name for name in given if name not in keep]
    if len(names) != signature.width:
        raise Hopeless(
            f"the model takes a matrix of {signature.width} columns; the file has {len(names)} "
            "besides those that are kept"
        )
    return tuple(Wanted(name, "double", required=True) for name in names)


def _without(rows: Rows | JsonRows, lacking: Sequence[str]) -> Checked:
    """Set every row of a file aside that lacks a column."""
    names = ", ".join(f"`{name}`" for name in lacking)
    has = ", ".join(f"`{name}`" for name in rows.names[:20])
    error = f"the file has no column {names}; it has {has or 'none'}"
    bad = [BadRow(place, error, rows.content(at)) for at, place in enumerate(rows.places)]
    none = np.array([], dtype=np.int64)
    return Checked({}, {}, none, none, (*rows.bad, *bad))


def _column(rows: Rows | JsonRows, wanted: Wanted, errors: dict[int, str]) -> pa.Array:
    """Return a column in the model's type; rows that do not fit are noted in `errors`."""
    if isinstance(rows, JsonRows):
        found = _of_values(rows.values[wanted.name], wanted, errors)
    else:
        found = _of_array(_one_array(rows.column(wanted.name)), wanted, errors)
    return _without_missing(found, wanted, errors)


def _kept_column(
    column: pa.Array | pa.ChunkedArray,
    name: str,
    target: pa.DataType | None,
    errors: dict[int, str],
) -> pa.Array:
    """Return a column in the type that it has in all parts; rows that have another are noted."""
    array = _one_array(column) if isinstance(column, pa.ChunkedArray) else column
    if target is None or array.type == target:
        return array
    try:
        return array.cast(target)
    except pa.ArrowException:
        pass
    values: list[Any] = []
    for at in range(len(array)):
        one = array.slice(at, 1)
        try:
            values.append(one.cast(target)[0].as_py())
        except pa.ArrowException:
            values.append(None)
            said = f"`{name}`: `{str(one[0].as_py())[:_SHOWN]}` is {array.type} and not {target}"
            errors.setdefault(at, f"{said}, as in the first file that has `{name}`")
    return pa.array(values, target)


def _of_values(values: Sequence[Any], wanted: Wanted, errors: dict[int, str]) -> pa.Array:
    """Return values of JSON in the model's type. What becomes of one is decided by it alone."""
    try:
        return _cast(natural(values), wanted)
    except (pa.ArrowException, ValueError):
        pass
    found = []
    for at, value in enumerate(values):
        try:
            # As text of CSV may be, a number may be larger than whole numbers of 64 bits.
            is_large = type(value) is int and wanted.type in _FLOATS
            one = natural([float(value) if is_large else value])
            found.append(_cast(one, wanted)[0].as_py())
        except (pa.ArrowException, ValueError, OverflowError):
            found.append(None)
            _note(at, as_said(value), wanted, errors)
    return pa.array(found, TYPES[wanted.type])


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array


def _of_array(array: pa.Array, wanted: Wanted, errors: dict[int, str]) -> pa.Array:
    try:
        return _cast(array, wanted)
    except (pa.ArrowException, ValueError):
        pass
    values: list[Any] = []
    for at in range(len(array)):
        one = array.slice(at, 1)
        try:
            values.append(_cast(one, wanted)[0].as_py() if one[0].is_valid else None)
        except (pa.ArrowException, ValueError):
            values.append(None)
            _note(at, str(one[0].as_py()), wanted, errors)
    return pa.array(values, TYPES[wanted.type])


def _note(at: int, said: str, wanted: Wanted, errors: dict[int, str]) -> None:
    shown = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}..."
    errors.setdefault(at, f"`{wanted.name}`: `{shown}` is not {_WORDS[wanted.type]}")


def _cast(array: pa.Array, wanted: Wanted) -> pa.Array:
    """Return an array in the model's type. Raises ValueError, or Arrow's, for another kind.

    Arrow would read a number as a time, a time as a number, and both as true.
    """
    target, types = TYPES[wanted.type], pa.types
    if types.is_string_view(array.type) or types.is_large_string(array.type):
        array = array.cast(pa.string())
    if array.type == target or types.is_null(array.type):
        return array.cast(target)
    is_text = types.is_string(array.type)
    if wanted.type == "string" and not is_text:
        # A number is no text for a model that was trained on texts.
        raise ValueError("not a text")
    if wanted.type == "boolean" and not is_text:
        raise ValueError("not true or false")
    if types.is_boolean(array.type):
        raise ValueError("true and false are no numbers, and no times")
    if types.is_temporal(array.type) != (wanted.type == "datetime") and not is_text:
        raise ValueError("a time is no number, and a number no time")
    if is_text and wanted.type != "binary":
        missing = pc.is_in(array, pa.array(_MISSING))
        array = pc.if_else(missing, pa.scalar(None, pa.string()), array)
    # A number as large as this has no fraction: its nearest one is what text of it is read as, too.
    is_rounded = types.is_integer(array.type) and wanted.type in _FLOATS
    found = _as_type(array, target, safe=not is_rounded)
    if target == pa.float32() and pc.any(pc.is_inf(found)).as_py():
        wide = array.cast(pa.float64(), safe=False)
        if not pc.all(pc.equal(pc.is_inf(found), pc.is_inf(wide))).as_py():
            raise ValueError("larger than a number of 32 bits")
    return found


def _as_type(array: pa.Array, target: pa.DataType, *, safe: bool) -> pa.Array:
    """Cast an array. Texts of times that name a zone are read in UTC, as Parquet's times are."""
    if not (pa.types.is_timestamp(target) and pa.types.is_string(array.type)):
        return array.cast(target, safe=safe)
    try:
        return array.cast(target)
    except pa.ArrowInvalid:
        return array.cast(pa.timestamp(target.unit, "UTC")).cast(target)


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
