"""Read what a GGUF file says of itself: its key-value header, and that its tensors are there.

openvino-genai checks nothing of this: it crashes on a file that was cut.

Standard library only. The format: github.com/ggml-org/ggml, docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .errors import NotServable

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY, _BOOL = 8, 9, 7
# Type number -> how struct writes it.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 10: "Q", 11: "q", 12: "d"}
_SCALARS[_BOOL] = "?"
# A header says how much it holds; a wrong one must not make us read or keep any amount.
_MOST_KEYS = 10_000
_LONGEST_TEXT = 4 * 2**20
_DEEPEST = 4

# Type of a tensor -> (values in one block, bytes of one block); of others the size is not checked.
_BLOCKS = {0: (1, 4), 1: (1, 2), 30: (1, 2)}  # F32, F16, BF16
# Q4_0, Q4_1, Q5_0, Q5_1, Q8_0
_BLOCKS |= {kind: (32, width) for kind, width in ((2, 18), (3, 20), (6, 22), (7, 24), (8, 34))}
# Q2_K, Q3_K, Q4_K, Q5_K, Q6_K
_BLOCKS |= {10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210)}
_MOST_TENSORS = 100_000
_MOST_DIMENSIONS = 8

Value = str | int | float | bool


@dataclass(frozen=True)
class Header:
    """The scalar values of the header by key; arrays, such as the vocabulary, are left out."""

    values: dict[str, Value]

    @property
    def architecture(self) -> str:
        """The family of the model, like `llama`; empty where the file does not say it."""
        return str(self.values.get("general.architecture", ""))

    @property
    def context_tokens(self) -> int | None:
        """How many tokens the model was made for, prompt and answer together."""
        value = self.values.get(f"{self.architecture}.context_length")
        return value if isinstance(value, int) and value > 0 else None

    @property
    def has_chat_template(self) -> bool:
        """Tell whether the file says how a conversation is written as one text."""
        return bool(self.values.get("tokenizer.chat_template"))


def read_header(path: Path) -> Header:
    """Return the header of a GGUF file. Raises NotServable for what is no whole GGUF header."""
    try:
        with path.open("rb") as stream:
            return _read(stream, path.stat().st_size)
    except OSError as err:
        raise NotServable(f"`{path.name}` cannot be read: {err.strerror}") from err
    except (struct.error, UnicodeDecodeError, KeyError, OverflowError) as err:
        raise NotServable(f"`{path.name}` is no whole GGUF file: {err!r}") from err


def _read(stream: BinaryIO, size: int) -> Header:
    magic, version = stream.read(4), _number(stream, "I")
    if magic != _MAGIC or version not in _VERSIONS:
        raise NotServable(
            f"this is no GGUF file of version 2 or 3: it begins with {magic!r}, {version}"
        )
    tensors, count = _number(stream, "Q"), _number(stream, "Q")
    if count > _MOST_KEYS:
        raise NotServable(f"the GGUF header names {count} keys; at most {_MOST_KEYS} are read")
    values: dict[str, Value] = {}
    for _ in range(count):
        key = _text(stream)
        value = _value(stream, _number(stream, "I"), size)
        if value is not None:
            values[key] = value
    end = max((_tensor_end(stream) for _ in range(min(tensors, _MOST_TENSORS))), default=0)
    alignment = max(1, int(values.get("general.alignment", 32)))
    needed = -(-stream.tell() // alignment) * alignment + end
    if needed > size:
        raise NotServable(f"the GGUF file was cut: it has {size} bytes, its tensors need {needed}")
    return Header(values)


def _tensor_end(stream: BinaryIO) -> int:
    """Read one row of the table of tensors; return where its data ends, in the part of data."""
    _text(stream)
    dimensions = _number(stream, "I")
    if dimensions > _MOST_DIMENSIONS:
        raise NotServable(f"the GGUF file has a tensor of {dimensions} dimensions")
    count = math.prod(_number(stream, "Q") for _ in range(dimensions))
    kind, offset = _number(stream, "I"), _number(stream, "Q")
    values, width = _BLOCKS.get(kind, (1, 0))
    return offset + -(-count // values) * width


def _value(stream: BinaryIO, kind: int, size: int, depth: int = 0) -> Value | None:
    """Read one value; an array is passed over and gives None."""
    if kind == _STRING:
        return _text(stream)
    if kind != _ARRAY:
        value: Value = struct.unpack(f"<{_SCALARS[kind]}", _whole(stream, _width(kind)))[0]
        return value
    inner, count = _number(stream, "I"), _number(stream, "Q")
    if count > size or depth >= _DEEPEST:
        raise NotServable("the GGUF header has an array that is larger than the file")
    if inner in _SCALARS:
        stream.seek(count * _width(inner), 1)
        return None
    for _ in range(count):
        _value(stream, inner, size, depth + 1)
    return None


def _width(kind: int) -> int:
    return struct.calcsize(f"<{_SCALARS[kind]}")


def _text(stream: BinaryIO) -> str:
    length = _number(stream, "Q")
    if length > _LONGEST_TEXT:
        raise NotServable(f"the GGUF header has a text of {length} bytes")
    return _whole(stream, length).decode()


def _number(stream: BinaryIO, form: str) -> int:
    value: int = struct.unpack(f"<{form}", _whole(stream, struct.calcsize(f"<{form}")))[0]
    return value


def _whole(stream: BinaryIO, length: int) -> bytes:
    read = stream.read(length)
    if len(read) < length:
        raise struct.error("the file ends within its header")
    return read
