from __future__ import annotations

import os
from pathlib import Path

from plinth.gateway import envoy


def test_the_program_is_there_and_can_be_executed() -> None:
    assert os.access(envoy.binary(), os.X_OK)


def test_the_command_starts_the_program_itself() -> None:
    command = envoy.command(Path("/home/bootstrap.json"), workers=3)
    assert command[0] == str(envoy.binary())
    assert command[command.index("--concurrency") + 1] == "3"
    assert "--disable-hot-restart" in command


def test_its_allocator_may_register_with_the_kernel() -> None:
    assert envoy.variables({"HOME": "/root", "GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}) == {
        "HOME": "/root",
        "GLIBC_TUNABLES": "glibc.pthread.rseq=0",
    }
