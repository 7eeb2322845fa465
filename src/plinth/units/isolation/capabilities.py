"""Give up every privilege of this process, and every way to get one back.

Root without capabilities still owns root's files, but may no longer pass over permissions, mount,
trace others' processes or change its limits. Called right before a confined command begins.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import struct

from plinth.units.kernel import machine, prctl, syscall

_BOUNDING_DROP = 24
_SECUREBITS = 28
_NO_NEW_PRIVILEGES = 38
_AMBIENT, _AMBIENT_CLEAR = 47, 4
_CAPSET = {"x86_64": 126, "aarch64": 91}
_VERSION_3 = 0x20080522
# NOROOT, NO_SETUID_FIXUP, KEEP_CAPS off, NO_CAP_AMBIENT_RAISE, each with its lock.
_NO_ROOT = 0b11101111
_HIGHEST = 64


def forbid_new_privileges() -> None:
    """Have set-user-id programs run with no more rights than this process; for good."""
    prctl("prctl(NO_NEW_PRIVS)", _NO_NEW_PRIVILEGES, 1)


def drop_all() -> None:
    """Empty all capability sets of this process, the bounding set too. Raises OSError."""
    for number in range(_HIGHEST):
        try:
            prctl("prctl(CAPBSET_DROP)", _BOUNDING_DROP, number)
        except OSError as err:
            # EINVAL: past the last capability. EPERM: an ordinary user has none to drop.
            if err.errno in (errno.EINVAL, errno.EPERM):
                break
            raise
    with contextlib.suppress(PermissionError):
        prctl("prctl(SECUREBITS)", _SECUREBITS, _NO_ROOT)
    prctl("prctl(AMBIENT)", _AMBIENT, _AMBIENT_CLEAR)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0), 8)
    empty = ctypes.create_string_buffer(24)
    syscall("capset", _CAPSET[machine()], header, empty)
