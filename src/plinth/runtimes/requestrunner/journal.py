"""The results so far: a line for each request that has one, written as soon as it has.

Whoever is killed loses at most the line that was being written: the next one cuts it off and asks
that request again.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

_PIECE = 1 << 20
NAME = "journal.jsonl"


class AlreadyOpen(Exception):
    """Another process writes to the journal."""


class Journal:
    """The open journal. `done`: the lines that have a result; `completed` of them went well."""

    def __init__(self, path: Path) -> None:
        """Open the file, make it when absent, and cut off what was half written.

        Raises AlreadyOpen while another process has it.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self._lock = threading.Lock()
        self._is_dirty = False
        self.done: set[int] = set()
        self.completed = 0
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            os.close(self._descriptor)
            raise AlreadyOpen(str(path)) from err
        os.ftruncate(self._descriptor, self._recover())

    @property
    def failed(self) -> int:
        """How many requests ended with an error."""
        return len(self.done) - self.completed

    def add(self, line: int, result: dict[str, Any], *, is_good: bool) -> None:
        """Write the result of a line, whole; what it was written for the first time stays.

        Raises OSError when the disk is full, with nothing left of the result.
        """
        record = {"line": line, "ok": is_good, "result": result}
        content = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if line in self.done:
                return
            before = os.fstat(self._descriptor).st_size
            try:
                self._write(content)
            except OSError:
                os.ftruncate(self._descriptor, before)
                raise
            self._is_dirty = True
            self.done.add(line)
            self.completed += is_good

    def sync(self) -> None:
        """Put what was written on the disk, where a power cut does not reach it."""
        if self._is_dirty:
            self._is_dirty = False
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Put everything on the disk and let go of the file."""
        self.sync()
        os.close(self._descriptor)

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _recover(self) -> int:
        """Note what is there; return where the last whole line ends."""
        end, rest = 0, b""
        with os.fdopen(os.dup(self._descriptor), "rb") as stream:
            stream.seek(0)
            while piece := stream.read(_PIECE):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    end += len(line) + 1
                    self._note(line)
        return end

    def _note(self, line: bytes) -> None:
        record = json.loads(line)
        if record["line"] not in self.done:
            self.done.add(record["line"])
            self.completed += bool(record["ok"])
