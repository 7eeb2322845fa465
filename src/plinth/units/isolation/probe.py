"""Find the best isolation level of this machine by trying it, never by a version number.

A container, a kernel setting or a security module can forbid what the kernel could do. Each try
costs a fork of a few milliseconds; the caller keeps the answer.
"""

from __future__ import annotations

import contextlib
import os
import stat

from plinth.units.isolation import landlock, seccomp
from plinth.units.isolation.confine import FILES, NOTHING, OWN_FILES, confine
from plinth.units.kernel import IS_LINUX, machine
from plinth.units.spec import Confinement

# Below this version of landlock, abstract sockets would stay open at level 3, not at level 2.
_SCOPES_ABI = 6
HIGHEST = OWN_FILES


def best_level(highest: int = HIGHEST) -> int:
    """Return the best level that works here, at most `highest`.

    The process must have one thread only.
    """
    return next(level for level in range(min(highest, HIGHEST), -1, -1) if works(level))


def works(level: int) -> bool:
    """Tell whether `level` can be reached and then really denies what it promises to."""
    if level <= NOTHING:
        return True
    if not IS_LINUX or not seccomp.is_known(machine()):
        return False
    if level >= OWN_FILES and landlock.abi() < _SCOPES_ABI:
        return False
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = 0 if _try(level) else 1
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _try(level: int) -> bool:
    confine(level, Confinement(connect_ports=()))
    if level < FILES:
        return True
    # The root folder is given to nobody, /usr to everybody.
    os.scandir("/usr").close()
    try:
        os.scandir("/").close()
    except PermissionError:
        return stat.S_ISCHR(os.stat(os.devnull).st_mode)
    return False
