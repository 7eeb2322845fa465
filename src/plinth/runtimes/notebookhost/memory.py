"""The memory that some processes use together, each page counted once. Reads /proc.

A page that processes share is in the RSS of each of them: a child that was forked and does nothing
has as much as its parent. So it is looked at closely, which takes milliseconds for each process and
gigabyte, when the quick sum is more than there may be. What lies in files in memory (memfd, /tmp,
/dev/shm) is in no process's RSS until it is read.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Sequence
from pathlib import Path

_PROC = Path("/proc")
# Where each session may have a place of its own that lives in memory.
_IN_MEMORY = ("/tmp", "/dev/shm")
_LARGEST_ROOT = 2**24
_MEMFD = "/memfd:"
_BLOCK = 512


def memory_of(pids: Sequence[int]) -> int:
    """Return the bytes of memory that these processes use, with their files in memory."""
    files = _memfds(pids) + sum(map(_held, _own_places()))
    quick = sum(map(_resident, pids))
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    if limit == resource.RLIM_INFINITY or quick + files <= limit:
        return quick + files
    parts = [_parts(pid) for pid in pids]
    private = sum(alone for alone, _ in parts)
    # What is read of the files is in both.
    return private + max(files, sum(shared for _, shared in parts))


def _parts(pid: int) -> tuple[int, int]:
    """Return a process's share of memory: its own and copied pages, and shared memory.

    Pages of files on disk are left out: they are given back when somebody needs the room.
    """
    found: dict[str, int] = {}
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.startswith("Pss"):
                found[name] = int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return _resident(pid), 0
    if "Pss_Anon" not in found:
        return found.get("Pss", 0), 0
    return found["Pss_Anon"], found.get("Pss_Shmem", 0)


def _resident(pid: int) -> int:
    try:
        pages = int((_PROC / str(pid) / "statm").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _memfds(pids: Iterable[int]) -> int:
    """Return what the open memfds hold, each counted once."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        folder = _PROC / str(pid) / "fd"
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            try:
                if os.readlink(folder / name).startswith(_MEMFD):
                    seen = os.stat(folder / name)
                    sizes[seen.st_dev, seen.st_ino] = seen.st_blocks * _BLOCK
            except OSError:
                continue
    return sum(sizes.values())


def _own_places() -> list[str]:
    """Return the places in memory that are this session's own: not those of the machine."""
    try:
        lines = (_PROC / "self" / "mountinfo").read_text().splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines]
    kinds = {each[4]: each[each.index("-") + 1] for each in fields}
    # A root of its own is in memory too, and small; where it is the machine's, so are these.
    root = os.statvfs("/")
    if kinds.get("/") != "tmpfs" or root.f_blocks * root.f_frsize > _LARGEST_ROOT:
        return []
    return [place for place in _IN_MEMORY if kinds.get(place) == "tmpfs"]


def _held(folder: str) -> int:
    try:
        seen = os.statvfs(folder)
    except OSError:
        return 0
    return (seen.f_blocks - seen.f_bfree) * seen.f_frsize
