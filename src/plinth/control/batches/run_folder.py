"""Read what a run left in its folder, which the model's code could write to: no link is followed.

A link there could lead to another team's files, so every part of a path is opened by itself.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from plinth.kit.errors import NotFound

_MOST_JSON_BYTES = 50_000_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe there would keep whoever opens it waiting.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def open_inside(folder: Path, *names: str) -> Iterator[BinaryIO]:
    """Open the plain file `names` below `folder`. Raises NotFound for anything else."""
    descriptors = []
    try:
        try:
            descriptors.append(os.open(folder, _FOLDER))
            for name in names[:-1]:
                descriptors.append(os.open(name, _FOLDER, dir_fd=descriptors[-1]))
            file = os.open(names[-1], _FILE, dir_fd=descriptors[-1])
        except OSError as err:
            raise NotFound(f"the run has no file `{'/'.join(names)}`") from err
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise NotFound(f"`{'/'.join(names)}` of the run is no plain file")
        with os.fdopen(file, "rb") as stream:
            yield stream
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def read_inside(folder: Path, *names: str) -> dict[str, Any] | None:
    """Return a JSON object that a run wrote; None where there is none, or it is none."""
    try:
        with open_inside(folder, *names) as stream:
            content = stream.read(_MOST_JSON_BYTES + 1)
    except NotFound:
        return None
    if len(content) > _MOST_JSON_BYTES:
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def list_inside(folder: Path, *names: str) -> list[str]:
    """Return the names of the plain files in a folder of a run, sorted."""
    descriptors: list[int] = []
    try:
        descriptors.append(os.open(folder, _FOLDER))
        for name in names:
            descriptors.append(os.open(name, _FOLDER, dir_fd=descriptors[-1]))
        with os.scandir(descriptors[-1]) as found:
            return sorted(each.name for each in found if each.is_file(follow_symlinks=False))
    except OSError:
        return []
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
