"""The protocol's bytes: requests in, responses out, JSON and the binary tensor data extension.

Standard library only, so that it is tested without numpy. It knows no model: whether an input
exists or has the right type is `signature`'s question.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any

from .tensors import (
    DATATYPES,
    SIZES,
    InferRequest,
    Refused,
    Tensor,
    WantedOutput,
)
from .values import check_values, count_message, flatten, shown

_LENGTH = struct.Struct("<I")


def _refuse_constant(text: str) -> Any:
    raise Refused(
        f"the body holds `{text}`, which JSON does not have; send null for a missing value"
    )


# One decoder for the process: `json.loads(..., parse_constant=...)` would build one per request.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def decode_request(body: bytes, header_length: int | None = None) -> InferRequest:
    """Read a request; `header_length` is the Inference-Header-Content-Length, None without binary.

    Raises Refused naming the field that is wrong.
    """
    if header_length is not None and header_length > len(body):
        raise Refused(
            f"Inference-Header-Content-Length is {header_length}; the body has {len(body)} bytes"
        )
    head = body if header_length is None else body[:header_length]
    document = _decode_json(head)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise Refused("`inputs` must be a list of at least one tensor")
    parameters = _read_parameters(document, "the request")
    identity = document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise Refused(f"`id` must be a string, got {shown(identity)}")
    binary = _Binary(memoryview(body)[len(head) :])
    tensors = tuple(_read_tensor(item, place, binary) for place, item in enumerate(inputs))
    binary.finish()
    return InferRequest(
        inputs=tensors,
        id=identity,
        wanted=_read_wanted(document.get("outputs")),
        binary_default=parameters.get("binary_data_output") is True,
        parameters=parameters,
    )


def encode_response(
    head: dict[str, Any], outputs: Sequence[Tensor], binary: Sequence[bool]
) -> tuple[bytes, int | None]:
    """Write a response; return it and the length of its JSON part, None when all of it is JSON.

    `binary` says for each output whether it goes as binary. A float that JSON cannot say (NaN,
    infinity) becomes null there; binary keeps it.
    """
    described: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    for tensor, as_binary in zip(outputs, binary):  # noqa: B905 - both have one item per output
        item: dict[str, Any] = {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "datatype": tensor.datatype,
        }
        if as_binary:
            chunk = binary_of(tensor)
            item["parameters"] = {"binary_data_size": len(chunk)}
            chunks.append(chunk)
        else:
            item["data"] = tensor.values
        described.append(item)
    text = _encode_json({**head, "outputs": described})
    return (text + b"".join(chunks), len(text)) if chunks else (text, None)


def encode_json(document: dict[str, Any]) -> bytes:
    """Write a JSON body, with null for NaN and infinity."""
    return _encode_json(document)


def binary_of(tensor: Tensor) -> bytes:
    """Return the tensor's binary form: little-endian, or length-prefixed elements for BYTES."""
    if tensor.datatype != "BYTES":
        if tensor.raw is None:
            raise ValueError(f"tensor `{tensor.name}` has no raw data")
        return tensor.raw
    parts: list[bytes] = []
    for value in tensor.values or ():
        element = value if isinstance(value, bytes) else ("" if value is None else value).encode()
        parts += (_LENGTH.pack(len(element)), element)
    return b"".join(parts)


def _decode_json(head: bytes) -> dict[str, Any]:
    try:
        document = _DECODER.decode(head.decode())
    except UnicodeDecodeError as err:
        raise Refused(f"the body is not UTF-8: byte {err.start} is {head[err.start]:#04x}") from err
    except RecursionError as err:
        raise Refused("the body nests too deeply") from err
    except ValueError as err:
        raise Refused(f"the body is not JSON: {err}") from err
    if not isinstance(document, dict):
        raise Refused(f"the body must be a JSON object, got {shown(document)}")
    return document


def _encode_json(document: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_without_nan(document), separators=(",", ":"))
    return text.encode()


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return value


def _read_parameters(item: dict[str, Any], place: str) -> dict[str, Any]:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Refused(f"`parameters` of {place} must be an object, got {shown(parameters)}")
    return parameters


def _read_wanted(outputs: Any) -> tuple[WantedOutput, ...] | None:
    if outputs is None:
        return None
    if not isinstance(outputs, list):
        raise Refused(f"`outputs` must be a list, got {shown(outputs)}")
    wanted: list[WantedOutput] = []
    for place, item in enumerate(outputs):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            raise Refused(f"`outputs[{place}].name` must be a string")
        if any(other.name == name for other in wanted):
            raise Refused(f"output `{name}` is asked for twice")
        binary = _read_parameters(item, f"output `{name}`").get("binary_data")
        wanted.append(WantedOutput(name, binary if isinstance(binary, bool) else None))
    return tuple(wanted) or None


class _Binary:
    """The bytes behind the JSON part, given out in the order of the inputs."""

    def __init__(self, rest: memoryview) -> None:
        self._rest = rest
        self._used = 0

    def take(self, name: str, size: Any) -> bytes:
        if type(size) is not int or size < 0:
            raise Refused(
                f"input `{name}`: `binary_data_size` must be a whole number, got {shown(size)}"
            )
        if self._used + size > len(self._rest):
            left = len(self._rest) - self._used
            raise Refused(f"input `{name}`: `binary_data_size` is {size}; {left} bytes are left")
        self._used += size
        return bytes(self._rest[self._used - size : self._used])

    def finish(self) -> None:
        if self._used != len(self._rest):
            left = len(self._rest) - self._used
            raise Refused(f"{left} bytes after the last tensor's data belong to no input")


def _read_tensor(item: Any, place: int, binary: _Binary) -> Tensor:
    if not isinstance(item, dict):
        raise Refused(f"`inputs[{place}]` must be an object, got {shown(item)}")
    name, datatype, shape = item.get("name"), item.get("datatype"), item.get("shape")
    if not isinstance(name, str):
        raise Refused(f"`inputs[{place}].name` must be a string, got {shown(name)}")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise Refused(
            f"input `{name}`: datatype {shown(datatype)} is not one of {', '.join(DATATYPES)}"
        )
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise Refused(
            f"input `{name}`: `shape` must be a list of whole numbers, got {shown(shape)}"
        )
    parameters = item.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        if "data" in item:
            raise Refused(f"input `{name}` has both `data` and `binary_data_size`")
        raw = binary.take(name, parameters["binary_data_size"])
        return _from_binary(name, datatype, tuple(shape), raw)
    data = item.get("data")
    if not isinstance(data, list):
        raise Refused(f"input `{name}`: `data` must be a list, got {shown(data)}")
    values = flatten(name, data, shape)
    check_values(name, datatype, values)
    return Tensor(name, datatype, tuple(shape), values)


def _from_binary(name: str, datatype: str, shape: tuple[int, ...], raw: bytes) -> Tensor:
    count = math.prod(shape)
    if datatype == "BYTES":
        values = _split_bytes(name, raw)
        if len(values) != count:
            raise Refused(count_message(name, shape, len(values)))
        return Tensor(name, datatype, shape, values)
    if len(raw) != count * SIZES[datatype]:
        raise Refused(
            f"input `{name}`: shape {list(shape)} of {datatype} takes {count * SIZES[datatype]} "
            f"bytes, got {len(raw)}"
        )
    if datatype == "BOOL" and raw.strip(b"\x00\x01"):
        raise Refused(f"input `{name}`: a BOOL must be the byte 0 or 1")
    return Tensor(name, datatype, shape, raw=raw)


def _split_bytes(name: str, raw: bytes) -> list[Any]:
    values: list[Any] = []
    place = 0
    while place < len(raw):
        start = place + _LENGTH.size
        if start > len(raw):
            raise Refused(f"input `{name}`: element {len(values)} has no complete length")
        place = start + _LENGTH.unpack_from(raw, place)[0]
        if place > len(raw):
            raise Refused(f"input `{name}`: element {len(values)} is longer than the data")
        values.append(raw[start:place])
    return values
