"""Which paths a confined process sees: the defaults, and how to rebuild them in a new root.

The planning (`plan`) only reads the file system; `mounts` acts on it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/proc",
    "/sys",
)
# What programs look up on a machine. Never shadow, ssh, sudoers, or a service's own settings.
_ETC = (
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hostname",
    "hosts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "machine-id",
    "magic",
    "mime.types",
    "networks",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki",
    "profile",
    "protocols",
    "services",
    "ssl",
    "terminfo",
    "timezone",
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_ACCELERATORS = ("nvidia*", "dri", "kfd")
SHARED_MEMORY = "/dev/shm"
TEMPORARY = "/tmp"
PSEUDO_TERMINALS = "/dev/pts"

_MOST_LINKS = 40


@dataclass(frozen=True, slots=True)
class Layout:
    """A new root: symbolic links (path -> target), and real paths to show (path -> writable)."""

    links: dict[str, str]
    binds: dict[str, bool]


def readable() -> tuple[str, ...]:
    """Return the system's own paths, and this Python's, that every job may read and execute."""
    return (*_SYSTEM, *(f"/etc/{name}" for name in _ETC), sys.base_prefix)


def devices() -> tuple[str, ...]:
    """Return the device files that every job may use; graphics processors where there are any."""
    folder = Path("/dev")
    found = (str(path) for pattern in _ACCELERATORS for path in folder.glob(pattern))
    return (*(str(folder / name) for name in _DEVICES), *found)


def plan(read: Iterable[str], write: Iterable[str]) -> Layout:
    """Return what to build so that every path works as it is spelled, links on the way included.

    Paths that do not exist are left out. A path below one that is shown anyway is not repeated,
    unless it is writable below one that is not.
    """
    links: dict[str, str] = {}
    wanted: dict[str, bool] = {}
    for paths, writable in ((read, False), (write, True)):
        for path in paths:
            real = resolve(path, links)
            if real is not None:
                wanted[real] = wanted.get(real, False) or writable
    binds: dict[str, bool] = {}
    for path in sorted(wanted):
        shown_by = _nearest(path, binds)
        if shown_by is None or (wanted[path] and not binds[shown_by]):
            binds[path] = wanted[path]
    needed = {path: to for path, to in links.items() if _nearest(path, binds) is None}
    return Layout(links=needed, binds=binds)


def resolve(path: str, links: dict[str, str]) -> str | None:
    """Return the real path, noting each symbolic link on the way; None if it does not exist."""
    done = "/"
    todo = _parts(path)
    met = 0
    while todo:
        step = todo.pop(0)
        if step == "..":
            done = str(Path(done).parent)
            continue
        here = os.path.join(done, step)
        try:
            target = os.readlink(here)
        except FileNotFoundError:
            return None
        except OSError:
            done = here
            continue
        met += 1
        if met > _MOST_LINKS:
            return None
        links[here] = target
        todo = _parts(target) + todo
        done = "/" if target.startswith("/") else done
    return done


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _nearest(path: str, binds: dict[str, bool]) -> str | None:
    while path != "/":
        if path in binds:
            return path
        path = str(Path(path).parent)
    return "/" if "/" in binds else None
