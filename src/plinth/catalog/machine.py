"""What this machine can give: processors and memory, less what its control groups take away.

`load_platforms` and the local engine call it. It only reads: the process's affinity, /proc and
/sys. What cannot be read is taken as no limit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from plinth.domain.platform import Offer

LOCAL = "local"
_ROOT = Path("/")


def local_offer(root: Path = _ROOT) -> Offer:
    """Return this machine as the one size that the local platform gives.

    `root` is the folder that holds `proc` and `sys`; another one is for tests.
    """
    return Offer(
        sku="machine",
        region=LOCAL,
        cpu=available_cpu(root),
        memory=available_memory(root),
        count=1,
    )


def available_cpu(root: Path = _ROOT) -> float:
    """Return the cores this process may use: its affinity, or less where a quota says so."""
    return min([float(_cores()), *_cpu_quotas(root)])


def available_memory(root: Path = _ROOT) -> int:
    """Return the memory in bytes this process may use: the machine's, or a limit below it."""
    return min([_installed_memory(), *_memory_limits(root)])


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _installed_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cpu_quotas(root: Path) -> Iterator[float]:
    for group in _groups(root, "cpu"):
        # Version 2 writes "QUOTA PERIOD" into one file, version 1 a file for each.
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if not quota:
            quota = _read(group / "cpu.cfs_quota_us")
            period = _read(group / "cpu.cfs_period_us")
        # Version 1 writes -1 for no quota.
        if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:
            yield int(quota) / int(period)


def _memory_limits(root: Path) -> Iterator[int]:
    for group in _groups(root, "memory"):
        limit = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes")
        if limit.isdecimal() and int(limit) > 0:
            yield int(limit)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folder of this process's control group and of each above it, as far as they exist.

    A limit above binds too. In a container the path may lead outside of what is mounted; then only
    the topmost folder exists, and it is the container's own.
    """
    mounted = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            top = mounted
        elif controller in controllers.split(","):
            top = mounted / controller
        else:
            continue
        group = Path(os.path.normpath(top / path.lstrip("/")))
        for folder in (group, *group.parents):
            if folder.is_relative_to(top) and folder.is_dir():
                yield folder


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
