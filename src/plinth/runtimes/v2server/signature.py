"""Hold a decoded request against what the model's signature declares.

Pure and standard library only. Every refusal names the input.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from .tensors import ACCEPTED, Declared, Refused, Tensor


def check_inputs(
    tensors: Sequence[Tensor], declared: Mapping[str, Declared]
) -> tuple[dict[str, Tensor], int]:
    """Return the inputs in the signature's order, and the number of rows they share.

    Shapes `[n, 1]` of columns become `[n]`. A model without a free first dimension has one row.
    Raises Refused for an unknown, missing or doubled input, a wrong datatype or shape,
    and a missing value where none is allowed.
    """
    given: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name not in declared:
            raise Refused(f"unknown input `{tensor.name}`; the model has {_listed(list(declared))}")
        if tensor.name in given:
            raise Refused(f"input `{tensor.name}` is given twice")
        want = declared[tensor.name]
        _check_tensor(tensor, want)
        narrow = want.column and len(tensor.shape) == 2
        given[tensor.name] = replace(tensor, shape=tensor.shape[:1]) if narrow else tensor
    missing = [name for name, want in declared.items() if want.required and name not in given]
    if missing:
        raise Refused(f"missing input {_listed(missing)}")
    ordered = {name: given[name] for name in declared if name in given}
    return ordered, _count_rows(ordered, declared)


def merge_key(tensors: Mapping[str, Tensor], declared: Mapping[str, Declared]) -> Hashable:
    """Return what two requests must share to become one call; None when rows cannot be stacked."""
    if any(want.shape[:1] != (-1,) for want in declared.values()):
        return None
    return tuple(
        (name, tensor.datatype, tensor.shape[1:], tensor.raw is None)
        for name, tensor in tensors.items()
    )


def _check_tensor(tensor: Tensor, want: Declared) -> None:
    if tensor.datatype not in ACCEPTED[want.datatype]:
        raise Refused(
            f"input `{tensor.name}`: datatype {tensor.datatype} does not fit {want.datatype}; "
            f"accepted: {', '.join(ACCEPTED[want.datatype])}"
        )
    if not _shape_fits(tensor.shape, want):
        also = " or [-1, 1]" if want.column else ""
        raise Refused(
            f"input `{tensor.name}`: shape {list(tensor.shape)} does not fit "
            f"{list(want.shape)}{also}"
        )
    if tensor.values is not None and None in tensor.values and not want.nullable:
        raise Refused(
            f"input `{tensor.name}`: null at position {tensor.values.index(None)}; the model's "
            f"signature allows no missing value here"
        )


def _shape_fits(shape: tuple[int, ...], want: Declared) -> bool:
    if want.column:
        return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    if len(shape) != len(want.shape):
        return False
    return all(size in (given, -1) for given, size in zip(shape, want.shape))  # noqa: B905


def _count_rows(tensors: Mapping[str, Tensor], declared: Mapping[str, Declared]) -> int:
    rows: int | None = None
    first = ""
    for name, tensor in tensors.items():
        if not tensor.shape or declared[name].shape[0] != -1:
            continue
        if rows is None:
            rows, first = tensor.shape[0], name
        elif tensor.shape[0] != rows:
            raise Refused(
                f"input `{name}` has {tensor.shape[0]} rows and input `{first}` has {rows}"
            )
    if rows == 0:
        raise Refused(f"input `{first}` has 0 rows; send at least 1")
    return 1 if rows is None else rows


def _listed(names: Sequence[str]) -> str:
    shown = [f"`{name}`" for name in names[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
