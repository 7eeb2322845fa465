"""A folder beside its final place in which something is made, and that a kill may leave behind.

The next one who makes the same thing takes it over: a lock tells whether the last one lives, a
marker that the folder is ours to clear.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plinth.kit.errors import Conflict

_MARKER = ".plinth-partial"


@contextmanager
def partial_folder(final: Path) -> Iterator[Path]:
    """Give an empty private folder `FINAL.partial` for a block, and remove what is left of it.

    Raises Conflict when another process is making the same, or when the folder is somebody's own.
    """
    folder = final.with_name(f"{final.name}.partial")
    descriptor = _open(folder)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise Conflict(
                f"another process is writing `{folder}`",
                hint="wait for it, or choose another name",
            ) from err
        _clear(folder)
        (folder / _MARKER).touch(mode=0o600)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileExistsError, NotADirectoryError) as err:
        raise Conflict(
            f"`{folder}` is in the way: it is not a folder that Plinth made",
            hint="move it away, or choose another name",
        ) from err


def _clear(folder: Path) -> None:
    """Empty what an earlier process left; a folder without our marker is left alone."""
    names = set(os.listdir(folder))
    if names and _MARKER not in names:
        raise Conflict(
            f"`{folder}` is in the way: it holds files and is not one that Plinth made",
            hint="move it away, or choose another name",
        )
    for name in names - {_MARKER}:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
