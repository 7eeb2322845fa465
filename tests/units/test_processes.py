"""A process is known by its number and its start, so that a reused number is another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from plinth.units import processes
from plinth.units.processes import Process
from tests.units.node import NOBODY, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_this_process_is_alive_and_another_start_of_its_number_is_not() -> None:
    me = processes.identify(os.getpid())
    assert processes.is_alive(me)
    assert not processes.is_alive(Process(me.pid, me.ticks + 1))


def test_a_signal_never_reaches_a_reused_number() -> None:
    me = processes.identify(os.getpid())
    assert not processes.send(Process(me.pid, me.ticks + 1), signal.SIGKILL)


def test_children_are_found_and_their_end_is_seen() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        me = os.getpid()
        found = [process for process in processes.descendants(me) if process.pid == child.pid]
        assert len(found) == 1
        assert processes.send(found[0], signal.SIGKILL)
        child.wait()
        assert not processes.is_alive(found[0])
        assert processes.watch(found[0]) is None


def test_what_carries_the_mark_is_found_wherever_it_went() -> None:
    mark = f"/nowhere/{os.getpid()}"
    env = {processes.MARKER: mark}
    with subprocess.Popen(["/bin/sleep", "60"], env=env, start_new_session=True) as child:
        try:
            # The mark is there once the child became the command.
            found = wait_for(lambda: processes.left_behind(NOBODY, mark))
            assert [process.pid for process in found] == [child.pid]
        finally:
            child.kill()


def test_memory_is_measured() -> None:
    assert processes.memory_of([os.getpid()]) > 2**20
    assert processes.memory_of([2**22 + 1]) == 0


def test_a_session_is_only_believed_while_its_number_was_not_given_anew() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={}, start_new_session=True) as child:
        try:
            leader = processes.identify(child.pid)
            assert processes.left_behind(leader, "/none") == [leader]
            assert processes.left_behind(Process(leader.pid, leader.ticks - 1), "/none") == []
        finally:
            child.kill()
