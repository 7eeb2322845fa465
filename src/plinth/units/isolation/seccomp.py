"""Refuse system calls that no job needs, by a filter that the kernel runs on each call.

The filter is generated as data (`program`), which is pure and tested; `enforce` hands it over. It
cannot be undone. Refused calls fail with EPERM; the program is not killed.
"""

from __future__ import annotations

import ctypes
import errno
from dataclasses import dataclass
from typing import NamedTuple

from plinth.units.kernel import machine, prctl

_SET_SECCOMP, _FILTER = 22, 2

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
AND = 0x54
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000
# Offsets in struct seccomp_data; both machines are little-endian, so the low half comes first.
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16

_X32 = 0x40000000
# CLONE_NEW*: a new namespace gives a process back the privileges that were taken from it.
_NAMESPACES = 0x7E020000
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _TYPE_MASK, _TCP = 1, 0xF, 6
# MSG_FASTOPEN: sending with it connects, and landlock is not asked.
_FAST_OPEN = 0x20000000


class Instruction(NamedTuple):
    """One step of the filter, as in struct sock_filter."""

    code: int
    if_true: int
    if_false: int
    value: int


@dataclass(frozen=True, slots=True)
class _Machine:
    column: int
    architecture: int


_MACHINES = {"x86_64": _Machine(0, 0xC000003E), "aarch64": _Machine(1, 0xC00000B7)}

# Name: (x86_64, aarch64); None where the machine has no such call.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
}
_CLONE, _CLONE3, _SOCKET, _LISTEN = (56, 220), (435, 435), (41, 198), (50, 201)
# Name: its numbers, and which argument holds the flags.
_SENDING = {"sendto": ((44, 206), 3), "sendmsg": ((46, 211), 2), "sendmmsg": ((307, 269), 3)}


def is_known(family: str) -> bool:
    """Tell whether there is a filter for this processor family."""
    return family in _MACHINES


def program(
    family: str, *, unix: bool, any_network: bool, serves: bool = False
) -> tuple[Instruction, ...]:
    """Return the filter. Pure.

    `unix`: whether Unix sockets may be made (a pair of connected ones always may). `any_network`:
    False leaves only TCP, whose ports landlock can limit; UDP and others would go around it.
    `serves`: whether it was given a socket, on which servers call listen once more. A filter
    cannot tell a TCP socket from a Unix one there, so where either may listen, both may.
    """
    machine_ = _MACHINES[family]
    number = machine_.column
    steps = [
        Instruction(LOAD, 0, 0, ARCHITECTURE),
        *_unless(JUMP_EQUAL, machine_.architecture, KILL),
        Instruction(LOAD, 0, 0, NUMBER),
    ]
    if family == "x86_64":
        # The x32 numbers reach the same calls by other values.
        steps += _if(JUMP_AT_LEAST, _X32, FAIL | errno.EPERM)
    # Its flags stand in memory, which a filter cannot read; the C library then takes clone.
    steps += _if(JUMP_EQUAL, _CLONE3[number], FAIL | errno.ENOSYS)
    for pair in REFUSED.values():
        refused = pair[number]
        if refused is not None:
            steps += _if(JUMP_EQUAL, refused, FAIL | errno.EPERM)
    steps += _when(_CLONE[number], _clone())
    if not any_network:
        for numbers, flags in _SENDING.values():
            steps += _when(numbers[number], _sending(flags))
        if not unix and not serves:
            # Landlock judges bind; listening without it takes a port of the kernel's choice.
            steps += _if(JUMP_EQUAL, _LISTEN[number], FAIL | errno.EACCES)
    steps += _when(_SOCKET[number], _socket(unix, any_network))
    return (*steps, Instruction(RETURN, 0, 0, ALLOW))


def enforce(steps: tuple[Instruction, ...]) -> None:
    """Put the filter on this process and all that descend from it."""
    array = (_Filter * len(steps))(*[_Filter(*step) for step in steps])
    whole = _Program(len(steps), array)
    prctl("prctl(SECCOMP)", _SET_SECCOMP, _FILTER, ctypes.addressof(whole))


def enforce_for_this_machine(*, unix: bool, any_network: bool, serves: bool) -> None:
    """Put the filter of this machine's family on this process."""
    enforce(program(machine(), unix=unix, any_network=any_network, serves=serves))


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Filter)))


def _if(jump: int, value: int, answer: int) -> list[Instruction]:
    return [Instruction(jump, 0, 1, value), Instruction(RETURN, 0, 0, answer)]


def _unless(jump: int, value: int, answer: int) -> list[Instruction]:
    return [Instruction(jump, 1, 0, value), Instruction(RETURN, 0, 0, answer)]


def _when(number: int, steps: list[Instruction]) -> list[Instruction]:
    return [Instruction(JUMP_EQUAL, 0, len(steps), number), *steps]


def _argument(index: int) -> Instruction:
    return Instruction(LOAD, 0, 0, ARGUMENTS + 8 * index)


def _clone() -> list[Instruction]:
    return [
        _argument(0),
        *_if(JUMP_ANY_BIT, _NAMESPACES, FAIL | errno.EPERM),
        Instruction(RETURN, 0, 0, ALLOW),
    ]


def _sending(flags: int) -> list[Instruction]:
    return [
        _argument(flags),
        *_if(JUMP_ANY_BIT, _FAST_OPEN, FAIL | errno.EPERM),
        Instruction(RETURN, 0, 0, ALLOW),
    ]


def _socket(unix: bool, any_network: bool) -> list[Instruction]:
    families = [_NETLINK, *([_UNIX] if unix else [])]
    internet = [_INET, _INET6]
    steps = [_argument(0)]
    for family in families + (internet if any_network else []):
        steps += _if(JUMP_EQUAL, family, ALLOW)
    if any_network:
        return [*steps, Instruction(RETURN, 0, 0, FAIL | errno.EACCES)]
    return [
        *steps,
        Instruction(JUMP_EQUAL, 2, 0, _INET),
        *_unless(JUMP_EQUAL, _INET6, FAIL | errno.EACCES),
        _argument(1),
        Instruction(AND, 0, 0, _TYPE_MASK),
        *_unless(JUMP_EQUAL, _STREAM, FAIL | errno.EACCES),
        _argument(2),
        *_if(JUMP_EQUAL, 0, ALLOW),
        *_if(JUMP_EQUAL, _TCP, ALLOW),
        Instruction(RETURN, 0, 0, FAIL | errno.EACCES),
    ]
