"""Ask the kernel for what Python's library does not offer, through the C library.

Used by the supervisor, the agent and isolation. Every function raises OSError as the kernel says.
Nothing is loaded before the first call, so that importing works where it cannot run.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys

IS_LINUX = sys.platform == "linux"

_SET_DEATH_SIGNAL = 1
_SET_NAME = 15
_SET_SUBREAPER = 36
_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02


@functools.cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def machine() -> str:
    """Return the processor family as the kernel names it: `x86_64`, `aarch64`."""
    return platform.machine()


def check(result: int, what: str) -> int:
    """Return `result`, or raise the OSError that the last call left behind."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(what: str, number: int, *arguments: object) -> int:
    """Call the kernel by `number`; integers are widened, pointers passed as they are."""
    if not IS_LINUX:
        raise OSError(f"{what}: only Linux has it")
    widened = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return check(_libc().syscall(ctypes.c_long(number), *widened), what)


def prctl(what: str, option: int, *arguments: int) -> int:
    """Change an attribute of this process."""
    if not IS_LINUX:
        raise OSError(f"{what}: only Linux has it")
    values = [ctypes.c_ulong(item) for item in (*arguments, 0, 0, 0, 0)[:4]]
    return check(_libc().prctl(ctypes.c_int(option), *values), what)


def die_with_parent(parent: int, signal: int) -> None:
    """Have this process get `signal` when its parent ends; leave at once if it already did.

    The kernel forgets the wish when the process gains capabilities (a user namespace), so it is
    stated again after that.
    """
    if IS_LINUX:
        prctl("prctl(PDEATHSIG)", _SET_DEATH_SIGNAL, signal)
    if os.getppid() != parent:
        os._exit(128 + signal)


def become_subreaper() -> None:
    """Have orphaned descendants handed to this process in place of process 1."""
    if IS_LINUX:
        prctl("prctl(CHILD_SUBREAPER)", _SET_SUBREAPER, 1)


def set_name(name: str) -> None:
    """Set the short name that `ps -o comm` shows, up to 15 bytes."""
    if IS_LINUX:
        buffer = ctypes.create_string_buffer(name.encode()[:15])
        _libc().prctl(ctypes.c_int(_SET_NAME), buffer, 0, 0, 0)


def punch_hole(descriptor: int, start: int, length: int) -> None:
    """Give a range of the file back to the disk; its size and all offsets stay as they are."""
    if not IS_LINUX:
        raise OSError("fallocate: only Linux has it")
    result = _libc().fallocate(
        ctypes.c_int(descriptor),
        ctypes.c_int(_PUNCH_HOLE | _KEEP_SIZE),
        ctypes.c_int64(start),
        ctypes.c_int64(length),
    )
    check(result, "fallocate")
