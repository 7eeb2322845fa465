"""Follow Envoy's access log: every whole line once, also when the log is renamed meanwhile.

A file is known by the digest of its first line, which is like no other, so a renamed one is read
on where it was. Positions live in the guard's journal. What is read twice changes nothing: a
reservation is settled once, and what has no reservation goes by its own time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plinth.kit.ids import digest_of

_PIECE = 256 * 1024
# Longer than any line is.
_LONGEST_LINE = 64 * 1024
_DIGEST_LENGTH = 16
# Envoy writes on into a renamed log until it is told to begin a new one.
_LINGER_S = 120.0


@dataclass(slots=True)
class _Followed:
    """A log file that is open. `quiet_since`: when it was last seen to grow."""

    descriptor: int
    inode: int
    source: str
    offset: int
    quiet_since: float


class Tail:
    """The log at `path`, and the renamed ones beside it that may still grow."""

    def __init__(self, path: Path, cursors: Mapping[str, int] | None) -> None:
        """Go on where `cursors` ends; None: what is in the log now is nobody's business."""
        self._path = path
        self._is_first = cursors is None
        self.cursors: dict[str, int] = dict(cursors or {})
        self._followed: dict[int, _Followed] = {}

    def start(self, now: float, most_bytes: int | None = None) -> None:
        """Find the files that are there, the oldest first.

        `most_bytes`: so much of the end of each is of interest, and no more is read.
        """
        for path in (*sorted(self._path.parent.glob(f"{self._path.name}.*")), self._path):
            self._follow(path, now)
        if most_bytes is not None:
            for each in self._followed.values():
                # It may begin within a line, whose rest is none.
                least = os.fstat(each.descriptor).st_size - most_bytes
                each.offset = self.cursors[each.source] = max(each.offset, least)
        self._is_first = False
        present = {each.source for each in self._followed.values()}
        self.cursors = {name: at for name, at in self.cursors.items() if name in present}

    def close(self) -> None:
        """Close every file."""
        for each in self._followed.values():
            os.close(each.descriptor)
        self._followed.clear()

    def read(self, now: float) -> Iterator[tuple[list[bytes], dict[str, int]]]:
        """Yield pieces of new whole lines, each with the position behind it."""
        self._follow(self._path, now)
        for each in list(self._followed.values()):
            while piece := self._piece(each):
                lines, end = piece
                each.offset += end
                each.quiet_since = now
                self.cursors[each.source] = each.offset
                yield lines, {each.source: each.offset}
            self._leave(each, now)

    def _follow(self, path: Path, now: float) -> None:
        """Open a file that is not known yet, once it has a whole line."""
        try:
            seen = path.stat()
            if seen.st_ino in self._followed:
                return
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        source = _source_of(descriptor)
        if source is None:
            os.close(descriptor)
            return
        seen = os.fstat(descriptor)
        first = seen.st_size if self._is_first else 0
        offset = self.cursors.setdefault(source, first)
        self._followed[seen.st_ino] = _Followed(descriptor, seen.st_ino, source, offset, now)

    def _piece(self, followed: _Followed) -> tuple[list[bytes], int] | None:
        content = os.pread(followed.descriptor, _PIECE, followed.offset)
        end = content.rfind(b"\n") + 1
        if end:
            return content[: end - 1].split(b"\n"), end
        if len(content) > _LONGEST_LINE:
            # No line is as long: it is damaged, and is passed over.
            return [], len(content)
        return None

    def _leave(self, followed: _Followed, now: float) -> None:
        """Forget a file that was cut, and one that was renamed and grows no more."""
        size = os.fstat(followed.descriptor).st_size
        is_cut = size < followed.offset
        if not is_cut and now - followed.quiet_since < _LINGER_S:
            return
        with suppress(FileNotFoundError):
            if not is_cut and self._path.stat().st_ino == followed.inode:
                return
        os.close(followed.descriptor)
        del self._followed[followed.inode]
        if is_cut:
            self.cursors.pop(followed.source, None)


def _source_of(descriptor: int) -> str | None:
    """Return what names the file; None while it has no whole line."""
    content = os.pread(descriptor, _LONGEST_LINE, 0)
    end = content.find(b"\n")
    if end == -1 and len(content) < _LONGEST_LINE:
        return None
    return digest_of(content[: end + 1] if end != -1 else content)[:_DIGEST_LENGTH]
