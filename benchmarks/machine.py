"""The machine that a benchmark runs on, as its results name it."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path


def processor() -> str:
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def cpu_s(*pids: int) -> float:
    """Return the seconds of CPU that these processes have used, in user and kernel."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def has_ended(pid: int) -> bool:
    """Return whether the process has ended and was waited for: all it had open is closed then.

    One that nobody waited for may still be ending: its other threads outlive the first.
    """
    return not Path(f"/proc/{pid}").exists()


def free_port() -> int:
    """Return a TCP port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
