"""The header of a GGUF file, and what stands beside it in a model's folder."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from plinth.runtimes.llmserver.errors import NotServable
from plinth.runtimes.llmserver.gguf import read_header
from plinth.runtimes.llmserver.request import Sampling
from plinth.runtimes.llmserver.source import Source, find_gguf, read_source


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return struct.pack("<II", 4, value)


def texts(*values: str) -> bytes:
    return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(text, values))


def numbers(*values: float) -> bytes:
    return struct.pack(f"<IIQ{len(values)}f", 9, 6, len(values), *values)


def gguf(
    values: dict[str, bytes],
    *,
    count: int | None = None,
    version: int = 3,
    tensors: Sequence[bytes] = (),
) -> bytes:
    pairs = b"".join(text(key) + value for key, value in values.items())
    numbers = (version, len(tensors), len(values) if count is None else count)
    head = b"GGUF" + struct.pack("<IQQ", *numbers) + pairs + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32)


def tensor(kind: int, offset: int, *shape: int) -> bytes:
    """Write one row of the table of tensors."""
    return text("t") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


WHOLE = {
    "general.architecture": struct.pack("<I", 8) + text("llama"),
    "tokenizer.ggml.tokens": texts("a", "日本"),
    "tokenizer.ggml.scores": numbers(0.5, 1.5),
    "llama.context_length": number(8192),
    "tokenizer.chat_template": struct.pack("<I", 8) + text("{{ messages }}"),
    "general.flag": struct.pack("<I?", 7, True),
}


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    return path


def test_scalars_are_kept_and_arrays_are_passed_over(tmp_path: Path) -> None:
    header = read_header(written(tmp_path, gguf(WHOLE)))
    assert (header.architecture, header.context_tokens) == ("llama", 8192)
    assert header.has_chat_template
    assert header.values["general.flag"] is True
    assert "tokenizer.ggml.tokens" not in header.values


def test_what_a_file_does_not_say_is_unknown(tmp_path: Path) -> None:
    header = read_header(written(tmp_path, gguf({})))
    assert (header.architecture, header.context_tokens) == ("", None)
    assert not header.has_chat_template


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no whole GGUF"),
        (b"PK\3\4" + b"\0" * 40, "no GGUF file"),
        (gguf({}, version=1), "no GGUF file"),
        (gguf({}, count=3), "no whole GGUF"),
        (gguf({}, count=20_000), "names 20000 keys"),
        (gguf({"a": struct.pack("<I", 99)}), "no whole GGUF"),
        (gguf({"a": struct.pack("<IQ", 8, 2**40)}), "a text of"),
        (gguf({"a": struct.pack("<IIQ", 9, 8, 2**60)}), "larger than the file"),
        (gguf({"a": struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9}), "larger than the file"),
        (gguf({"a": struct.pack("<IQ", 8, 2) + b"\xff\xfe"}), "no whole GGUF"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(NotServable, match=words):
        read_header(written(tmp_path, content))


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = gguf(WHOLE, tensors=[tensor(0, 0, 64)])
    for length in range(0, len(whole), 5):
        with pytest.raises(NotServable):
            read_header(written(tmp_path, whole[:length]))


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        ([tensor(0, 0, 8, 4)], 128),
        ([tensor(3, 0, 64), tensor(14, 64, 256, 2)], 64 + 420),
        ([tensor(8, 32, 33)], 32 + 68),
    ],
)
def test_every_tensor_lies_within_the_file(tmp_path: Path, rows: list[bytes], size: int) -> None:
    head = gguf({}, tensors=rows)
    read_header(written(tmp_path, head + b"\0" * size))
    with pytest.raises(NotServable, match=f"was cut: it has {len(head) + size - 1} bytes"):
        read_header(written(tmp_path, head + b"\0" * (size - 1)))


def test_the_size_of_an_unknown_type_is_left_to_the_library(tmp_path: Path) -> None:
    read_header(written(tmp_path, gguf({}, tensors=[tensor(99, 0, 10**9)])))
    with pytest.raises(NotServable, match="of 9 dimensions"):
        read_header(written(tmp_path, gguf({}, tensors=[tensor(0, 0, *[1] * 9)])))


def test_a_folder_has_one_model(tmp_path: Path) -> None:
    with pytest.raises(NotServable, match="it has none"):
        find_gguf(tmp_path)
    path = written(tmp_path, b"")
    assert find_gguf(tmp_path) == path
    (tmp_path / "n.gguf").touch()
    with pytest.raises(NotServable, match=r"it has m\.gguf, n\.gguf"):
        find_gguf(tmp_path)


def test_the_example_and_the_defaults_may_be_absent(tmp_path: Path) -> None:
    assert read_source(tmp_path) == Source()
    (tmp_path / "input_example.json").write_text('{"messages": []}')
    (tmp_path / "generation_config.json").write_text('{"temperature": 0.5, "do_sample": true}')
    assert read_source(tmp_path) == Source({"messages": []}, Sampling(temperature=0.5))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("input_example.json", "["),
        ("input_example.json", "[]"),
        ("generation_config.json", "{"),
        ("generation_config.json", '{"temperature": 9}'),
    ],
)
def test_what_is_wrong_beside_the_model_is_said(tmp_path: Path, name: str, content: Any) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(NotServable, match="of the model"):
        read_source(tmp_path)
