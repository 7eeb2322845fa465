"""A guard of one's own: the real process on a Unix socket, killed and started again at will."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plinth.gateway.guard.limit import GuardedLimit
from plinth.gateway.guard.limit_file import write_limits
from plinth.gateway.guard.unit import UNIT, command, journal_file, limits_file
from plinth.kit.home import Home

# Moves the socket to descriptor 3, as a unit's supervisor does, and becomes the guard.
_AS_UNIT = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"


@dataclass
class GuardProcess:
    """The process and its files; `socket` stays while the process is away, if it is kept."""

    home: Home
    process: subprocess.Popen[bytes] | None = None
    _version: int = 0

    @property
    def socket(self) -> Path:
        return self.home.socket(UNIT)

    @property
    def journal(self) -> Path:
        return journal_file(self.home)

    @property
    def access_log(self) -> Path:
        return self.home.gateway / "access.log"

    @property
    def log(self) -> str:
        return (self.home.root / "guard.log").read_text()

    def limit(self, *limits: GuardedLimit) -> None:
        self._version += 1
        write_limits(limits_file(self.home), limits, str(self._version))

    def start(self) -> None:
        """Start it; connections wait in the socket until it accepts them."""
        self.socket.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self.socket))
        listening.listen(128)
        number = listening.fileno()
        with listening, (self.home.root / "guard.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _AS_UNIT, str(number), *command(self.home)],
                pass_fds=(number,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home.root,
            )

    def kill(self) -> None:
        """End it as `kill -9` does; its socket goes with it, as a unit's does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.socket.unlink(missing_ok=True)

    def stop(self) -> int:
        """Ask it to end; return how it ended."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(10)


@contextmanager
def running_guard(*limits: GuardedLimit) -> Iterator[GuardProcess]:
    """Run a guard with these limits in a home of its own until the block ends."""
    home = Home(Path(tempfile.mkdtemp(prefix="pl-")))
    home.prepare()
    guard = GuardProcess(home)
    guard.limit(*limits)
    guard.start()
    try:
        yield guard
    finally:
        if guard.process is not None and guard.process.poll() is None:
            guard.stop()
        shutil.rmtree(home.root)
