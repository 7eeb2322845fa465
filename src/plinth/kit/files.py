"""Write files so that a reader sees the old content or the new, never a half."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_atomic(
    path: Path,
    content: bytes,
    *,
    mode: int = 0o600,
    before_rename: Callable[[], None] | None = None,
) -> None:
    """Write, sync, then rename over `path`, so that a crash leaves the old file or the new one.

    The folder must exist. `before_rename` may still raise to leave `path` as it is. Raises OSError
    (a full disk, no permission) with `path` untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if before_rename is not None:
            before_rename()
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any, *, mode: int = 0o600) -> None:
    """Write `value` as JSON by `write_atomic`."""
    write_atomic(path, json.dumps(value, separators=(",", ":")).encode(), mode=mode)


def read_json(path: Path) -> Any | None:
    """Return the JSON in `path`, or None when there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def make_private(path: Path) -> Path:
    """Make the folder `path` (and its parents) readable by its owner only; return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock on the file `path`; yield whether it was got.

    The kernel frees it when the process ends, however it ends.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def read_text_below(folder: Path, name: str, *, most_bytes: int = 4_000_000) -> str | None:
    """Return the text of a file in `folder`; None where it is none, lies outside or is too large.

    What is no UTF-8 in it is replaced.
    """
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file() or path.stat().st_size > most_bytes:
            return None
        return path.read_text(errors="replace")
    except (OSError, ValueError):
        return None
