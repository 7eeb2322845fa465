"""The filter refuses what it must and lets through all the rest; run here by a small machine."""

from __future__ import annotations

import errno

import pytest

from plinth.units.isolation import seccomp
from plinth.units.isolation.seccomp import ALLOW, FAIL, KILL, REFUSED, Instruction

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
COLUMN = {"x86_64": 0, "aarch64": 1}
SOCKET = {"x86_64": 41, "aarch64": 198}
CLONE = {"x86_64": 56, "aarch64": 220}
LISTEN = {"x86_64": 50, "aarch64": 201}
# The numbers of sendto, sendmsg, sendmmsg, each with the place of its flags.
SENDING = {
    "x86_64": ((44, 3), (46, 2), (307, 3)),
    "aarch64": ((206, 3), (211, 2), (269, 3)),
}
FAST_OPEN, NO_SIGNAL = 0x20000000, 0x4000
OPEN_AT = {"x86_64": 257, "aarch64": 56}
REFUSE = FAIL | errno.EACCES
UNIX, INET, INET6, NETLINK, PACKET = 1, 2, 10, 16, 17
STREAM, DATAGRAM, CLOEXEC = 1, 2, 0o2000000

families = pytest.mark.parametrize("family", ["x86_64", "aarch64"])


def run(
    steps: tuple[Instruction, ...], family: str, number: int, *arguments: int, arch: int = 0
) -> int:
    words = {0: number, 4: arch or ARCHITECTURE[family]}
    for index, argument in enumerate(arguments):
        words[16 + 8 * index] = argument
    value = position = 0
    while True:
        step = steps[position]
        position += 1
        if step.code == seccomp.RETURN:
            return step.value
        if step.code == seccomp.LOAD:
            value = words.get(step.value, 0)
        elif step.code == seccomp.AND:
            value &= step.value
        else:
            holds = {
                seccomp.JUMP_EQUAL: value == step.value,
                seccomp.JUMP_AT_LEAST: value >= step.value,
                seccomp.JUMP_ANY_BIT: bool(value & step.value),
            }[step.code]
            position += step.if_true if holds else step.if_false


@families
def test_ordinary_calls_pass(family: str) -> None:
    steps = seccomp.program(family, unix=False, any_network=False)
    assert run(steps, family, OPEN_AT[family]) == ALLOW


@families
def test_every_dangerous_call_is_refused(family: str) -> None:
    steps = seccomp.program(family, unix=True, any_network=True)
    for name, numbers in REFUSED.items():
        number = numbers[COLUMN[family]]
        if number is not None:
            assert run(steps, family, number) == FAIL | errno.EPERM, name


@families
def test_another_architecture_is_the_end(family: str) -> None:
    steps = seccomp.program(family, unix=True, any_network=True)
    assert run(steps, family, 1, arch=0x40000003) == KILL


def test_the_second_numbering_of_x86_is_refused() -> None:
    steps = seccomp.program("x86_64", unix=True, any_network=True)
    assert run(steps, "x86_64", 0x40000000 + 41, UNIX) == FAIL | errno.EPERM


@families
def test_new_namespaces_are_refused_and_threads_are_not(family: str) -> None:
    steps = seccomp.program(family, unix=True, any_network=True)
    thread = 0x3D0F00
    assert run(steps, family, CLONE[family], thread) == ALLOW
    assert run(steps, family, CLONE[family], 0x11) == ALLOW
    assert run(steps, family, CLONE[family], 0x10000011) == FAIL | errno.EPERM
    assert run(steps, family, 435) == FAIL | errno.ENOSYS


@families
@pytest.mark.parametrize("unix", [True, False])
def test_unix_sockets_follow_the_level(family: str, unix: bool) -> None:
    for any_network in (True, False):
        steps = seccomp.program(family, unix=unix, any_network=any_network)
        answer = run(steps, family, SOCKET[family], UNIX, STREAM | CLOEXEC, 0)
        assert answer == (ALLOW if unix else REFUSE)


@families
def test_with_ports_given_only_tcp_is_left(family: str) -> None:
    steps = seccomp.program(family, unix=False, any_network=False)
    number = SOCKET[family]
    for internet in (INET, INET6):
        assert run(steps, family, number, internet, STREAM | CLOEXEC, 0) == ALLOW
        assert run(steps, family, number, internet, STREAM, 6) == ALLOW
        assert run(steps, family, number, internet, DATAGRAM | CLOEXEC, 0) == REFUSE
        # MPTCP goes around landlock's rules for ports.
        assert run(steps, family, number, internet, STREAM, 262) == REFUSE
    assert run(steps, family, number, NETLINK, 3, 0) == ALLOW
    assert run(steps, family, number, PACKET, 3, 0) == REFUSE


@families
def test_sending_never_connects_where_ports_are_limited(family: str) -> None:
    for number, place in SENDING[family]:
        before = [0x20000000] * place
        for any_network in (True, False):
            steps = seccomp.program(family, unix=True, any_network=any_network)
            expected = ALLOW if any_network else FAIL | errno.EPERM
            assert run(steps, family, number, *before, FAST_OPEN | NO_SIGNAL) == expected
            assert run(steps, family, number, *before, NO_SIGNAL) == ALLOW


@families
def test_listening_is_refused_where_only_tcp_could_listen(family: str) -> None:
    def listen(**what: bool) -> int:
        return run(seccomp.program(family, **what), family, LISTEN[family], 5, 1)

    assert listen(unix=False, any_network=False) == REFUSE
    assert listen(unix=False, any_network=False, serves=True) == ALLOW
    assert listen(unix=True, any_network=False) == ALLOW
    assert listen(unix=False, any_network=True) == ALLOW


@families
def test_an_open_network_has_datagrams(family: str) -> None:
    steps = seccomp.program(family, unix=False, any_network=True)
    assert run(steps, family, SOCKET[family], INET, DATAGRAM, 17) == ALLOW
    assert run(steps, family, SOCKET[family], PACKET, 3, 0) == REFUSE


def test_an_unknown_machine_is_not_known() -> None:
    assert not seccomp.is_known("riscv64")
