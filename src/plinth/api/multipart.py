"""Take a received form apart: fields, and one file that is copied out of it, piece by piece.

The whole form lies in a file already, so no more than a piece of it is held in memory.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt

_MOST_FIELD_BYTES = 1000
_MOST_PARTS = 20
_MOST_HEADER_BYTES = 8192
_PIECE = 1 << 20
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")
_FILE_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class FormFile:
    """Where a file lies within the form, and what its sender calls it."""

    name: str
    start: int
    end: int


@dataclass(slots=True)
class Form:
    """The fields of a form by name, and its files by theirs."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, FormFile] = field(default_factory=dict)


def read_form(path: Path, content_type: str) -> Form:
    """Read a `multipart/form-data` body (RFC 7578). Raises Invalid for anything else."""
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    is_form = message.get_content_type() == "multipart/form-data"
    if not is_form or not isinstance(boundary, str) or not _BOUNDARY.fullmatch(boundary):
        raise Invalid(
            f"the body is `{excerpt(content_type)}`; `multipart/form-data` is accepted",
            hint="clients of OpenAI send it so by themselves",
        )
    if path.stat().st_size == 0:
        raise _broken("it is empty")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as body:
        form = Form()
        for start, end in _parts(body, b"--" + boundary.encode("ascii")):
            _add(form, body, start, end)
    return form


def copy_file(form: Path, file: FormFile, target: Path) -> str:
    """Copy a file out of the form; return its SHA-256."""
    digest, left = hashlib.sha256(), file.end - file.start
    with form.open("rb") as reader, target.open("wb") as writer:
        reader.seek(file.start)
        while left > 0:
            piece = reader.read(min(_PIECE, left))
            if not piece:
                raise _broken("it ends early")
            digest.update(piece)
            writer.write(piece)
            left -= len(piece)
    return digest.hexdigest()


def _parts(body: mmap.mmap, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each part begins, with its headers, and where it ends."""
    if body[: len(delimiter)] != delimiter:
        raise _broken("it does not begin with its boundary")
    start = len(delimiter)
    for _ in range(_MOST_PARTS):
        if body[start : start + 2] == b"--":
            return
        if body[start : start + 2] != b"\r\n":
            raise _broken("a boundary is followed by something else")
        end = body.find(b"\r\n" + delimiter, start)
        if end == -1:
            raise _broken("its last boundary is missing")
        yield start + 2, end
        start = end + 2 + len(delimiter)
    raise _broken(f"it has more than {_MOST_PARTS} parts")


def _add(form: Form, body: mmap.mmap, start: int, end: int) -> None:
    head = body.find(b"\r\n\r\n", start, min(end, start + _MOST_HEADER_BYTES) + 4)
    if head == -1:
        raise _broken("a part has no headers")
    name, file_name = _named(body[start:head])
    begins = head + 4
    if name in form.fields or name in form.files:
        raise _broken(f"`{excerpt(name)}` comes twice")
    if file_name is not None:
        form.files[name] = FormFile(file_name, begins, max(begins, end))
        return
    if end - begins > _MOST_FIELD_BYTES:
        raise _broken(f"`{excerpt(name)}` has more than {_MOST_FIELD_BYTES} bytes")
    form.fields[name] = body[begins:end].decode(errors="replace")


def _named(head: bytes) -> tuple[str, str | None]:
    """Return what a part's headers call it, and its file's name where it is a file."""
    for line in head.decode(errors="replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            message = Message()
            message["content-disposition"] = value.strip()
            called = message.get_param("name", header="content-disposition")
            file_name = message.get_filename()
            if isinstance(called, str):
                return called, None if file_name is None else _plain(file_name)
    raise _broken("a part has no name")


def _plain(file_name: str) -> str:
    """Return a file's name as it may be shown: no folders, one line."""
    last = file_name.replace("\\", "/").rpartition("/")[2]
    return "".join(each for each in last if each.isprintable())[:_FILE_NAME_LENGTH] or "file"


def _broken(why: str) -> Invalid:
    return Invalid(f"the form cannot be read: {why}")
