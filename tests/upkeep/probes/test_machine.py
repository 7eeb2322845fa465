"""Probes of the machine."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plinth.upkeep.probes import machine
from plinth.upkeep.probes.machine import (
    probe_envoy,
    probe_files,
    probe_index,
    probe_inotify,
    probe_isolation,
    probe_memory,
    probe_processes,
    probe_shared_memory,
)
from tests.upkeep.scene import agent, new_scene


def done(code: int = 0, out: str = "", err: str = "") -> Any:
    return lambda *_, **__: SimpleNamespace(returncode=code, stdout=out, stderr=err)


def test_the_pinned_envoy_runs() -> None:
    finding = probe_envoy(new_scene())
    assert finding.status == "ok", finding
    assert finding.fact.startswith("version 1.")


def test_another_envoy_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "/x/envoy  version: abc/1.2.3/Clean/RELEASE/BoringSSL\n"
    monkeypatch.setattr(subprocess, "run", done(out=answer))
    finding = probe_envoy(new_scene())
    assert finding.status == "failed"
    assert "its program is 1.2.3" in finding.fact


def test_an_envoy_that_does_not_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", done(127, err="libfoo.so: not found"))
    assert "libfoo.so" in probe_envoy(new_scene()).fact

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOEXEC, "Exec format error")

    monkeypatch.setattr(subprocess, "run", refuse)
    finding = probe_envoy(new_scene())
    assert finding.status == "failed"
    assert "Exec format error" in finding.fact


def test_isolation_says_which_level_was_reached() -> None:
    finding = probe_isolation(new_scene())
    assert finding.status in ("ok", "warning")
    assert finding.fact.startswith("level ")


@pytest.mark.parametrize(
    ("level", "abi", "word"),
    [
        (1, 0, "landlock"),
        (1, 4, "seccomp"),
        (2, 3, "6.7"),
        (2, 5, "6.12"),
        (2, 6, "user namespaces"),
    ],
)
def test_what_would_raise_the_level_is_told(
    monkeypatch: pytest.MonkeyPatch, level: int, abi: int, word: str
) -> None:
    monkeypatch.setattr(machine, "best_level", lambda: level)
    monkeypatch.setattr(machine.landlock, "abi", lambda: abi)
    finding = probe_isolation(new_scene())
    assert finding.status == "warning"
    assert word in str(finding.todo)


def test_an_agent_below_what_the_machine_can_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "best_level", lambda: 3)
    assert probe_isolation(new_scene(agent=agent(level=3))).status == "ok"
    finding = probe_isolation(new_scene(agent=agent(level=1)))
    assert (finding.status, "plinth down" in str(finding.todo)) == ("warning", True)


@pytest.mark.parametrize(
    ("soft", "status"),
    [(512, "failed"), (1024, "warning"), (65536, "ok"), (resource.RLIM_INFINITY, "ok")],
)
def test_open_files(monkeypatch: pytest.MonkeyPatch, soft: int, status: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (soft, resource.RLIM_INFINITY))
    finding = probe_files(new_scene())
    assert finding.status == status
    assert "any number" in finding.fact


def test_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_container_processes", lambda: None)
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (100_000, 100_000))
    assert probe_processes(new_scene()).status == "ok"
    monkeypatch.setattr(machine, "_container_processes", lambda: 100)
    finding = probe_processes(new_scene())
    assert (finding.status, "100 in this container" in finding.fact) == ("warning", True)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert probe_processes(new_scene()).status == "failed"


@pytest.mark.parametrize(
    ("available", "status"), [(10**10, "ok"), (10**8, "warning"), (None, "skipped")]
)
def test_memory(monkeypatch: pytest.MonkeyPatch, available: int | None, status: str) -> None:
    monkeypatch.setattr(machine, "_available_memory", lambda: available)
    assert probe_memory(new_scene()).status == status


def test_a_container_has_no_more_memory_than_its_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_container_memory", lambda: 123)
    available = machine._available_memory()
    assert available in (123, None)
    (tmp_path / "pids.max").write_text("max\n")
    assert machine._read_number(tmp_path / "pids.max") is None
    (tmp_path / "pids.max").write_text("77\n")
    assert machine._read_number(tmp_path / "pids.max") == 77


def test_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("this machine has no /dev/shm")
    assert probe_shared_memory(new_scene()).status in ("ok", "warning")
    small = SimpleNamespace(f_bavail=10, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _path: small)
    finding = probe_shared_memory(new_scene())
    assert finding.status == "warning"
    assert "--shm-size" in str(finding.todo)


def test_inotify() -> None:
    assert probe_inotify(new_scene()).status in ("ok", "skipped", "failed")


def test_no_more_inotify_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    library = SimpleNamespace(inotify_init=lambda: -1)
    monkeypatch.setattr(machine, "IS_LINUX", True)
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda *_, **__: library)
    monkeypatch.setattr(machine.ctypes, "get_errno", lambda: errno.EMFILE)
    finding = probe_inotify(new_scene())
    assert finding.status == "failed"
    assert "max_user_instances" in str(finding.todo)


def test_the_package_index_is_asked_in_the_way_that_a_build_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}

    def run(command: list[str], **options: Any) -> Any:
        asked.update(options, command=command)
        return done()()

    monkeypatch.setattr(subprocess, "run", run)
    scene = new_scene(variables={"UV_DEFAULT_INDEX": "x", "PLINTH_KEY": "s3cret"})
    assert probe_index(scene).status == "ok"
    assert asked["env"]["UV_DEFAULT_INDEX"] == "x"
    assert "PLINTH_KEY" not in asked["env"]


def test_an_index_that_is_away_is_a_warning_without_passwords(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = "error: cannot reach https://user:s3cret@index.example/x\nmore"
    monkeypatch.setattr(subprocess, "run", done(2, err=words))
    finding = probe_index(new_scene())
    assert finding.status == "warning"
    assert "s3cret" not in finding.fact
    assert "more" not in finding.fact

    def wait(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("uv", 10)

    monkeypatch.setattr(subprocess, "run", wait)
    assert probe_index(new_scene()).status == "warning"
