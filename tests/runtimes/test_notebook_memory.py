"""Memory is counted once, whoever shares it, and also where no process's RSS has it."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory

import pytest

from plinth.runtimes.notebookhost.memory import memory_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MB = 10**6


@pytest.fixture(autouse=True)
def _limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every sum be looked at closely."""
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1, 1))


@contextmanager
def forked(count: int) -> Iterator[list[int]]:
    """Give children that have all that this process has, and do nothing."""
    wait, go = os.pipe()
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(wait, 1)
            os._exit(0)
        children.append(child)
    try:
        yield children
    finally:
        os.close(go)
        os.close(wait)
        for child in children:
            os.waitpid(child, 0)


def test_forked_children_that_do_nothing_add_next_to_nothing() -> None:
    kept = bytearray(os.urandom(1)) * (60 * MB)
    alone = memory_of([os.getpid()])
    assert alone >= 60 * MB
    with forked(4) as children:
        together = memory_of([os.getpid(), *children])
    assert together < alone + 40 * MB
    assert len(kept) == 60 * MB


def test_a_file_in_memory_counts_once_however_many_hold_it() -> None:
    before = memory_of([os.getpid()])
    descriptor = os.memfd_create("much")
    try:
        os.write(descriptor, bytes(40 * MB))
        with forked(2) as children:
            after = memory_of([os.getpid(), *children])
    finally:
        os.close(descriptor)
    assert 40 * MB <= after - before < 70 * MB


def test_shared_memory_that_is_read_counts_once() -> None:
    before = memory_of([os.getpid()])
    shared = SharedMemory(create=True, size=30 * MB)
    try:
        shared.buf[:] = bytes(30 * MB)
        with forked(2) as children:
            after = memory_of([os.getpid(), *children])
    finally:
        shared.close()
        shared.unlink()
    assert 25 * MB < after - before < 60 * MB


def test_without_a_limit_the_quick_sum_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    infinite = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (infinite, infinite))
    assert memory_of([os.getpid()]) > MB
    assert memory_of([2**22 + 1]) == 0
