"""What is finished, written so that a crash at any moment loses no finished mini-batch.

Each worker appends whole lines to a file of its own and syncs it; the line is what makes a
mini-batch finished, and it is written after its files have their final names. A line that was torn
by a crash is none. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .work import Finished, Index, Part

_ENDING = ".jsonl"
TEMPORARY = ".tmp"


class Journal:
    """One worker's own file. `append` returns when the line is on the disk."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Names are never used twice: an earlier attempt may have ended in the middle of a line.
        self._descriptor = os.open(
            folder / f"{name}{_ENDING}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
        )
        sync_folder(folder)

    def index(self, index: Index) -> None:
        """Keep how many rows a file has."""
        self._append({"index": index.to_json()})

    def finish(self, finished: Finished) -> None:
        """Make a mini-batch finished; its files must be there under their final names."""
        self._append({"finished": asdict(finished)})

    def _append(self, line: dict[str, Any]) -> None:
        content = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        os.write(self._descriptor, content)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read_journals(folder: Path) -> tuple[dict[int, Index], dict[tuple[int, int], Finished]]:
    """Return what every worker of every attempt wrote: indexes by file, and what is finished."""
    indexes: dict[int, Index] = {}
    finished: dict[tuple[int, int], Finished] = {}
    for line in _lines(folder):
        if "index" in line:
            found = line["index"]
            index = Index(found["file"], found["rows"], tuple(found["offsets"]))
            indexes[index.file] = index
        elif "finished" in line:
            one = _finished(line["finished"])
            finished.setdefault((one.file, one.batch), one)
    return indexes, finished


def write_part(folder: Path, name: str, content: bytes, rows: int) -> Part:
    """Write a file beside, sync it, and give it its final name; return what it holds."""
    digest = hashlib.sha256(content).hexdigest()
    temporary = folder / f".{name}{TEMPORARY}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / name)
    sync_folder(folder)
    return Part(name, digest, rows, len(content))


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Write a JSON document beside and rename it; a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with temporary.open("wb") as stream:
        stream.write(json.dumps(value, separators=(",", ":")).encode())
        if sync:
            stream.flush()
            os.fsync(stream.fileno())
    temporary.replace(path)
    if sync:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, finished: dict[tuple[int, int], Finished], kind: str) -> None:
    """Remove what a killed attempt left in a folder of parts: half files, and files of no entry."""
    parts = (getattr(one, kind) for one in finished.values())
    known = {part.name for part in parts if part is not None}
    for path in folder.iterdir():
        if path.name not in known:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def is_there(folder: Path, part: Part | None) -> bool:
    """Tell whether a part is there with the size that it was written with."""
    if part is None:
        return True
    try:
        return (folder / part.name).stat().st_size == part.size_bytes
    except FileNotFoundError:
        return False


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(f"*{_ENDING}")) if folder.is_dir() else ():
        for content in path.read_bytes().splitlines(keepends=True):
            if not content.endswith(b"\n"):
                continue
            with contextlib.suppress(ValueError):
                line = json.loads(content)
                if isinstance(line, dict):
                    yield line


def _finished(found: dict[str, Any]) -> Finished:
    parts = {
        kind: Part(**found[kind]) if found[kind] is not None else None
        for kind in ("output", "quarantine")
    }
    return Finished(found["file"], found["batch"], found["rows"], **parts)
