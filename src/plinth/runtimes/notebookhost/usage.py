"""What all processes of this workspace use: processors, memory, and what they wrote to disks."""

from __future__ import annotations

import os
import time

import psutil

from .memory import memory_of


class Usage:
    """Measures what is used between two times that it is asked."""

    def __init__(self) -> None:
        # The supervisor, to which also what was left by its parent belongs.
        self._top = psutil.Process(os.getppid())
        self._before = (time.monotonic(), _all_cpu_s(self._processes()))
        # By process, also of those that have ended.
        self._written: dict[int, int] = {}

    def measure(self) -> dict[str, float]:
        """Return `cpu`, cores used since the last time, `memory_bytes` and `written_bytes`."""
        processes = self._processes()
        now, cpu_s = time.monotonic(), _all_cpu_s(processes)
        then, cpu_then_s = self._before
        self._before = (now, cpu_s)
        # What has ended takes its time with it: less than nothing is nothing.
        cores = max(0.0, cpu_s - cpu_then_s) / max(now - then, 1e-3)
        for process in processes:
            self._written[process.pid] = _written(process)
        return {
            "cpu": round(cores, 4),
            "memory_bytes": memory_of([each.pid for each in processes]),
            "written_bytes": sum(self._written.values()),
        }

    def _processes(self) -> list[psutil.Process]:
        try:
            return list(self._top.children(recursive=True))
        except psutil.Error:
            return []


def _all_cpu_s(processes: list[psutil.Process]) -> float:
    return sum(map(_cpu_s, processes))


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _written(process: psutil.Process) -> int:
    try:
        return int(process.io_counters().write_bytes)
    except psutil.Error:
        return 0
