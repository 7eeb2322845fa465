"""Read and bound the log of a unit, which its processes append to directly.

Nobody can rotate a file that others hold open without losing lines, so the log keeps one name and
one growing size, and its oldest part is given back to the disk as a hole: no line that is kept
moves, and an offset means the same forever. Where the file system has no holes the log grows.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from plinth.units.kernel import punch_hole

CAP_BYTES = 64 * 2**20
KEEP_BYTES = 32 * 2**20

_BLOCK = 4096
_STAT_BLOCK = 512


def trim(path: Path, *, cap: int = CAP_BYTES, keep: int = KEEP_BYTES) -> bool:
    """Free all but the last `keep` bytes once more than `cap` are on the disk; tell whether."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return False
    if seen.st_blocks * _STAT_BLOCK <= cap:
        return False
    length = (seen.st_size - keep) // _BLOCK * _BLOCK
    if length <= 0:
        return False
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        punch_hole(descriptor, 0, length)
    finally:
        os.close(descriptor)
    return True


def read(path: Path, offset: int, limit: int) -> tuple[bytes, int]:
    """Return up to `limit` bytes from byte `offset`, and the next offset.

    An `offset` below 0 counts from the end, and what comes begins with a whole line where there is
    one. What was freed is passed over. A log that does not exist is empty.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b"", max(0, offset)
    try:
        size = os.fstat(descriptor).st_size
        start = offset if offset >= 0 else max(0, size + offset)
        # Also what no file reaches to, and the kernel takes for no place in one.
        if start >= size:
            return b"", start
        asked = start
        # ENXIO: nothing but holes.
        with contextlib.suppress(OSError):
            start = max(start, os.lseek(descriptor, start, os.SEEK_DATA))
        content = os.pread(descriptor, limit, start)
    finally:
        os.close(descriptor)
    following = start + len(content)
    is_cut = offset < 0 and asked > 0
    return (content.partition(b"\n")[2] or content if is_cut else content), following
