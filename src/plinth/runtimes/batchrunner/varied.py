"""Rows like a model's input example: its values mixed, moved, left out, and texts nobody has seen.

Few rows would let two forms pass as equal that differ elsewhere. The same example gives the same
rows. Needs numpy and pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from .inputs import Signature, Wanted

MIXED, LACKING, UNSEEN = 700, 250, 50
_FLOATS = ("double", "float")
_WHOLE = ("long", "integer")
_UNSEEN_TEXT = "~nobody has seen this~"
_SEED = 20261123
# How many of the values are missing in the rows that lack some.
_MISSING_SHARE = 0.2


def varied(table: pa.Table, signature: Signature) -> Iterator[pa.Table]:
    """Yield tables of rows like those of `table`, which has the columns of the signature.

    Those that lack values only where the signature allows it, those with unseen texts only where
    it has texts.
    """
    if not table.num_rows:
        return
    draw = np.random.default_rng(_SEED)
    wanted = _wanted(table, signature)
    mixed = {name: _mixed(_known(table[name]), each, draw) for name, each in wanted.items()}
    yield pa.table({name: _array(values, wanted[name]) for name, values in mixed.items()})
    if any(_may_lack(each) for each in wanted.values()):
        yield pa.table(
            {
                name: _array(_lacking(values[:LACKING], wanted[name], draw), wanted[name])
                for name, values in mixed.items()
            }
        )
    if any(each.type == "string" for each in wanted.values()):
        yield pa.table(
            {
                name: _array(_unseen(values[:UNSEEN], wanted[name]), wanted[name])
                for name, values in mixed.items()
            }
        )


def _wanted(table: pa.Table, signature: Signature) -> dict[str, Wanted]:
    if signature.width is not None:
        return {name: Wanted(name, "double", required=True) for name in table.column_names}
    present = [each for each in signature.columns if each.name in table.column_names]
    return {each.name: each for each in present}


def _may_lack(wanted: Wanted) -> bool:
    return not wanted.required and wanted.type in (*_FLOATS, "string")


def _known(column: pa.ChunkedArray) -> list[Any]:
    """Return the values that are not missing."""
    values = [value for value in column.to_pylist() if value is not None]
    return [value for value in values if not (isinstance(value, float) and np.isnan(value))]


def _mixed(known: list[Any], wanted: Wanted, draw: Any) -> list[Any]:
    if not known:
        return [None] * MIXED
    picked = [known[place] for place in draw.integers(0, len(known), MIXED)]
    if wanted.type in _FLOATS:
        spread = float(np.std(known)) or 0.3 * abs(float(known[0])) or 1.0
        moved = np.array(picked, dtype=np.float64) + draw.normal(size=MIXED) * spread
        # Half of them as they stand. Numbers of single precision: ONNX has no others.
        moved[::2] = picked[::2]
        return [float(value) for value in moved.astype(np.float32)]
    if wanted.type in _WHOLE:
        # Codes of categories too are whole numbers: none far from those of the example.
        low, high = min(known), max(known)
        least = max(low - 1, 0) if low >= 0 else low - 1
        return [int(value) for value in draw.integers(least, high + 2, MIXED)]
    if wanted.type == "boolean":
        return [bool(value) for value in draw.integers(0, 2, MIXED)]
    return picked


def _lacking(values: list[Any], wanted: Wanted, draw: Any) -> list[Any]:
    lacks = draw.random(len(values)) < _MISSING_SHARE
    if not _may_lack(wanted):
        return values
    return [None if lack else value for value, lack in zip(values, lacks)]  # noqa: B905 - as long


def _unseen(values: list[Any], wanted: Wanted) -> list[Any]:
    return [_UNSEEN_TEXT] * len(values) if wanted.type == "string" else values


def _array(values: list[Any], wanted: Wanted) -> pa.Array:
    kinds = {"string": pa.string(), "boolean": pa.bool_(), "integer": pa.int32()}
    if wanted.type in _FLOATS:
        return pa.array(values, pa.float64())
    return pa.array(values, kinds.get(wanted.type, pa.int64()))
