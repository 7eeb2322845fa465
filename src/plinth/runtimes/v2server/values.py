"""The values of one input as JSON gave them: flat, of the right kind, in range.

Pure and standard library only. Called by codec.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

from .tensors import FLOAT_LIMITS, INTEGER_RANGES, Refused

_NUMBERS = {int, float}
_SAMPLE = 60


def flatten(name: str, data: list[Any], shape: list[int]) -> list[Any]:
    """Return flat values from flat or nested `data`; nested data must follow the shape exactly."""
    nested = bool(data) and isinstance(data[0], list)
    level = data
    if nested:
        for depth, size in enumerate(shape):
            last = depth == len(shape) - 1
            if depth == 0 and len(level) != size:
                raise Refused(f"input `{name}`: shape {shape} says {size} rows, got {len(level)}")
            if last:
                break
            below = shape[depth + 1]
            if not all(isinstance(row, list) and len(row) == below for row in level):
                raise Refused(f"input `{name}`: `data` is not nested as the shape {shape} says")
            level = list(chain.from_iterable(level))
    if len(level) != math.prod(shape):
        raise Refused(count_message(name, shape, len(level)))
    return level


def count_message(name: str, shape: Sequence[int], count: int) -> str:
    """Say that the number of values is not what the shape takes."""
    return f"input `{name}`: shape {list(shape)} takes {math.prod(shape)} values, got {count}"


def check_values(name: str, datatype: str, values: list[Any]) -> None:
    """Refuse values that are not of the datatype; null is left for the signature to judge."""
    present = values if None not in values else [value for value in values if value is not None]
    kinds = set(map(type, present))
    if datatype == "BYTES":
        fitting: set[type] = {str}
    elif datatype == "BOOL":
        fitting = {bool}
    elif datatype in INTEGER_RANGES:
        fitting = {int}
    else:
        fitting = _NUMBERS
    if not kinds <= fitting:
        place = next(at for at, value in enumerate(values) if _misfit(value, fitting))
        raise Refused(
            f"input `{name}`: value {shown(values[place])} at position {place} is not {datatype}"
        )
    if present and fitting is not _NUMBERS and datatype not in INTEGER_RANGES:
        return
    if present:
        low, high = INTEGER_RANGES.get(datatype) or _float_range(datatype)
        worst = min(present) if min(present) < low else max(present)
        if not low <= worst <= high:
            raise Refused(f"input `{name}`: value {shown(worst)} is out of range for {datatype}")


def _misfit(value: Any, fitting: set[type]) -> bool:
    return value is not None and type(value) not in fitting


def _float_range(datatype: str) -> tuple[float, float]:
    limit = FLOAT_LIMITS[datatype]
    return -limit, limit


def shown(value: Any) -> str:
    """Return a value as it stands in a message: JSON, quoted, cut when long."""
    text = json.dumps(value) if isinstance(value, (str, int, float, list, dict)) else repr(value)
    text = "null" if value is None else text
    return f"`{text if len(text) <= _SAMPLE else text[:_SAMPLE] + '...'}`"
