"""The words of the protocol: datatypes, tensors, and what a model declares about them.

Standard library only. Called by codec, signature, conversion and model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

# bytes per element; BYTES has elements of any length.
SIZES = {
    "BOOL": 1,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "FP16": 2,
    "FP32": 4,
    "FP64": 8,
}
DATATYPES = (*SIZES, "BYTES")
INTEGER_RANGES = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
FLOAT_LIMITS = {"FP16": 65504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}


def _widenings() -> dict[str, tuple[str, ...]]:
    """Return, for each datatype, the ones that may be sent in its place without loss.

    Only conversions that keep every value are allowed: INT64 does not fit FP64 (2**53 + 1).
    """
    accepted: dict[str, tuple[str, ...]] = {name: (name,) for name in DATATYPES}
    for bits in (16, 32, 64):
        smaller = [size for size in (8, 16, 32) if size < bits]
        accepted[f"INT{bits}"] += tuple(f"INT{size}" for size in smaller)
        accepted[f"INT{bits}"] += tuple(f"UINT{size}" for size in smaller)
        accepted[f"UINT{bits}"] += tuple(f"UINT{size}" for size in smaller)
    accepted["FP16"] += ("INT8", "UINT8")
    accepted["FP32"] += ("FP16", "INT8", "UINT8", "INT16", "UINT16")
    accepted["FP64"] += ("FP32", "FP16", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32")
    return accepted


ACCEPTED = _widenings()


class Refused(Exception):
    """The caller's request cannot be served; `status` is the HTTP answer."""

    def __init__(
        self, message: str, status: int = 400, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = tuple(headers)


@dataclass(frozen=True)
class Declared:
    """One input or output of the model's signature.

    `shape`: -1 stands for any size. `content` tells what BYTES hold: "text", "datetime" (ISO 8601)
    or "base64" (in JSON; raw in binary form). `nullable`: null (JSON) or NaN means a missing value.
    `required`: False may be left out of a request. `column`: a column of a table, so that the
    shapes `[n]` and `[n, 1]` mean the same.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: str = "text"
    nullable: bool = False
    required: bool = True
    column: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the protocol's `metadata_tensor`, with the content where BYTES are not text."""
        described: dict[str, Any] = {
            "name": self.name,
            "datatype": self.datatype,
            "shape": list(self.shape),
        }
        parameters: dict[str, Any] = {}
        if self.content != "text":
            parameters["content_type"] = self.content
        if self.nullable:
            parameters["nullable"] = True
        if not self.required:
            parameters["optional"] = True
        if parameters:
            described["parameters"] = parameters
        return described


@dataclass(frozen=True)
class Tensor:
    """Data with a name, on its way in or out.

    `values`: flat, row by row (C order): JSON scalars, or `bytes` for BYTES that came as binary;
    None where `raw` holds the little-endian bytes of a datatype of fixed size.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any] | None = None
    raw: bytes | None = None


@dataclass(frozen=True)
class WantedOutput:
    """An output that the request asks for by name; `binary` None leaves it to the request."""

    name: str
    binary: bool | None = None


@dataclass(frozen=True)
class InferRequest:
    """A decoded request, not yet held against the model's signature."""

    inputs: tuple[Tensor, ...]
    id: str | None
    wanted: tuple[WantedOutput, ...] | None
    binary_default: bool
    parameters: dict[str, Any]


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors of one name, datatype, form and row shape as one, row after row."""
    first = tensors[0]
    shape = (sum(tensor.shape[0] for tensor in tensors), *first.shape[1:])
    if first.raw is not None:
        raw = b"".join(tensor.raw or b"" for tensor in tensors)
        return Tensor(first.name, first.datatype, shape, raw=raw)
    values = list(chain.from_iterable(tensor.values or () for tensor in tensors))
    return Tensor(first.name, first.datatype, shape, values)
