"""The machine that a benchmark runs on, as its results name it."""

from __future__ import annotations

import math
import os
import platform
import socket
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

# Which of a process's clocks: `CPUCLOCK_SCHED` of the kernel.
_SCHEDULED = 2


def processor() -> str:
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def cpu_s(*pids: int) -> float:
    """Return the seconds of CPU that these processes have used, in user and kernel.

    By the clock of each process (`clock_getcpuclockid(3)`), which counts nanoseconds, where
    `/proc/<pid>/stat` counts hundredths of a second.
    """
    return sum(time.clock_gettime_ns(~pid << 3 | _SCHEDULED) for pid in pids) / 1e9


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


def spread(name: str, values: Sequence[float], *, digits: int = 3) -> dict[str, float]:
    """Return the median by this name, and the least and the most beside it."""
    return {
        name: round(statistics.median(values), digits),
        f"{name}_min": round(min(values), digits),
        f"{name}_max": round(max(values), digits),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that at least this share of them does not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def facts() -> dict[str, str | float]:
    """Return what every result says of when and where it was measured."""
    return {
        "machine": f"{os.cpu_count()} x {processor()}, {platform.system()} {platform.release()}",
        "date": datetime.now(UTC).date().isoformat(),
        "load_1_minute": round(os.getloadavg()[0], 2),
    }


def environments() -> Path:
    """Return the folder of managed environments that benchmarks and tests use again."""
    cache = os.environ.get("PLINTH_TEST_CACHE") or Path.home() / ".cache" / "plinth-tests"
    return Path(cache) / "environments"
