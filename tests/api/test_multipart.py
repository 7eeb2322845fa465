"""A form is taken apart without holding it, and what is no form is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.api.multipart import copy_file, read_form
from plinth.kit.errors import Invalid
from plinth.kit.ids import digest_of

TYPE = "multipart/form-data; boundary=xx"
PURPOSE = b'--xx\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'


def part(content: bytes, name: bytes = b"file", file_name: bytes = b"a.jsonl") -> bytes:
    head = b'--xx\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n' % (
        name,
        file_name,
    )
    return head + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n"


def written(tmp_path: Path, body: bytes) -> Path:
    (tmp_path / "form").write_bytes(body)
    return tmp_path / "form"


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\r\n", b"--x", b"a\r\n--x", b"\r\n--x\r\n" * 100, bytes(range(256))]
)
def test_a_file_comes_out_as_it_went_in(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, PURPOSE + part(content) + b"--xx--\r\n")
    form = read_form(path, TYPE)
    assert form.fields == {"purpose": "batch"}
    assert form.files["file"].name == "a.jsonl"
    digest = copy_file(path, form.files["file"], tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    assert digest == digest_of(content)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"../../etc/passwd", "passwd"),
        (b"C:\\\\dir\\\\a.txt", "a.txt"),
        (b"a\tb\x1b[2J", "ab[2J"),
        (b"x" * 300, "x" * 200),
        ("grün.jsonl".encode(), "grün.jsonl"),
    ],
)
def test_a_files_name_is_one_plain_line(tmp_path: Path, sent: bytes, kept: str) -> None:
    path = written(tmp_path, part(b"x", file_name=sent) + b"--xx--\r\n")
    assert read_form(path, TYPE).files["file"].name == kept


@pytest.mark.parametrize(
    "kind",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "text/xx"],
)
def test_what_is_no_form_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(Invalid, match="multipart/form-data"):
        read_form(written(tmp_path, PURPOSE), kind)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"--xx",
        PURPOSE,
        PURPOSE + part(b"x"),
        b"--xx\r\nno headers\r\n--xx--\r\n",
        b"--xx\r\nContent-Type: a/b\r\n\r\nx\r\n--xx--\r\n",
        PURPOSE + PURPOSE + b"--xx--\r\n",
        part(b"x") + part(b"y") + b"--xx--\r\n",
        b"--xxyy\r\n",
        b"".join(part(b"x", name=b"f%d" % number) for number in range(30)) + b"--xx--\r\n",
        PURPOSE.replace(b"batch", b"b" * 2000) + b"--xx--\r\n",
    ],
)
def test_what_is_broken_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(Invalid, match="the form cannot be read"):
        read_form(written(tmp_path, body), TYPE)
