"""Limit which files, ports, sockets and processes this process and its children can reach.

Landlock needs no privilege and cannot be undone. What a kernel does not know (by its ABI number)
is left out: 2 renaming between folders, 3 truncating, 4 TCP ports, 5 device ioctls, 6 signals and
abstract sockets. It never limits chmod, stat or the names of paths.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Iterator

from plinth.units.kernel import IS_LINUX, syscall

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION = 1
_RULE_PATH, _RULE_PORT = 1, 2

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
ABSTRACT_SOCKETS, SIGNALS = 1 << 0, 1 << 1

# Where a unit with a free network may listen when some port is refused; a rule costs 1 us.
LISTENING = range(20_000, 30_000)
# A rule on this port lets the system choose one.
_ANY_PORT = 0

_FIRST = (1 << 13) - 1
READ = EXECUTE | READ_FILE | READ_DIR
ALL = _FIRST | REFER | TRUNCATE | IOCTL_DEV
DEVICE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV
# Everything else speaks of a folder's entries; the kernel refuses it for a single file.
_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV


def abi() -> int:
    """Return the version that the kernel offers; 0 when it offers none."""
    if not IS_LINUX:
        return 0
    try:
        return syscall("landlock", _CREATE, None, 0, _VERSION)
    except OSError:
        return 0


def known_rights(version: int) -> int:
    """Return the rights on files that a kernel of this ABI can handle."""
    rights = _FIRST
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        if version >= since:
            rights |= right
    return rights


class Rules:
    """Allow paths and ports one by one; `enforce` then denies all the rest for good."""

    def __init__(
        self,
        ports: tuple[int, ...] | None,
        refused: tuple[int, ...] = (),
        own: tuple[int, ...] = (),
    ) -> None:
        """Begin with nothing allowed.

        `ports` are those to connect to; None lets it connect anywhere, and listen anywhere but for
        `refused`: then on LISTENING and on a port that the system chooses (rules only allow). With
        `ports`, it may also listen on `own` and connect to them.
        """
        self._version = abi()
        if self._version < 1:
            raise OSError("landlock: the kernel does not offer it")
        self._rights = known_rights(self._version)
        rules = _port_rules(ports, refused, own)
        attributes = [self._rights]
        # An older kernel refuses fields that it does not know.
        if self._version >= 4:
            limited = BIND_TCP | CONNECT_TCP if ports is not None else BIND_TCP if refused else 0
            attributes.append(limited)
        if self._version >= 6:
            attributes.append(ABSTRACT_SOCKETS | SIGNALS)
        content = struct.pack(f"={len(attributes)}Q", *attributes)
        self._descriptor = syscall(
            "landlock_create_ruleset", _CREATE, _buffer(content), len(content), 0
        )
        if self._version >= 4:
            for right, port in rules:
                self._add(_RULE_PORT, struct.pack("=QQ", right, port))

    def allow(self, paths: Iterable[str], rights: int) -> None:
        """Allow `rights` on each path and below it; paths that do not exist are left out."""
        for path in paths:
            try:
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            try:
                is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
                allowed = rights & self._rights & (ALL if is_folder else _ON_FILES)
                self._add(_RULE_PATH, struct.pack("=Qi", allowed, descriptor))
            finally:
                os.close(descriptor)

    def enforce(self) -> None:
        """Deny everything else to this process and all that descend from it."""
        syscall("landlock_restrict_self", _RESTRICT, self._descriptor, 0)
        os.close(self._descriptor)

    def _add(self, kind: int, rule: bytes) -> None:
        syscall("landlock_add_rule", _ADD_RULE, self._descriptor, kind, _buffer(rule), 0)


def _port_rules(
    ports: tuple[int, ...] | None, refused: tuple[int, ...], own: tuple[int, ...]
) -> Iterator[tuple[int, int]]:
    if ports is not None:
        yield from ((CONNECT_TCP, port) for port in ports)
        yield from ((BIND_TCP | CONNECT_TCP, port) for port in own)
    elif refused:
        yield BIND_TCP, _ANY_PORT
        yield from ((BIND_TCP, port) for port in LISTENING if port not in refused)


def _buffer(content: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(content, len(content))
