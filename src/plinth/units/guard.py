"""Stand by while a supervisor lives; when it is killed, end its processes and say so at once.

The supervisor calls `stand_guard` as it begins. The guard is nobody's child and sleeps until the
supervisor's end closes a pipe. After an orderly end it has nothing to do. So a killed supervisor
takes its whole unit with it also while no agent lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

from plinth.units import kernel, processes
from plinth.units.beginning import Beginning
from plinth.units.folder import UnitFolder, holding
from plinth.units.lost import SUPERVISOR_KILLED, kill_left, write_lost
from plinth.units.processes import Process

_AGAIN_S = 0.02
_LONGEST_NUMBER = 20


def stand_guard(folder: UnitFolder) -> Process:
    """Fork the guard of this process, which holds the unit's lock; return who it is.

    To be called before this process adopts orphans: the guard must not count as one of its own.
    Raises OSError when there can be no more processes.
    """
    supervisor = processes.identify(os.getpid())
    # The write end is open in this process only, for as long as it lives.
    ended, _alive = os.pipe()
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        _fork_guard(folder, supervisor, ended, writer)
    for descriptor in (ended, writer):
        os.close(descriptor)
    number = os.read(reader, _LONGEST_NUMBER)
    os.close(reader)
    os.waitpid(between, 0)
    if not number:
        raise OSError("the guard of this unit cannot be started")
    return processes.identify(int(number))


def clear_up(
    folder: UnitFolder, supervisor: Process, wait: Callable[[float], None] = time.sleep
) -> None:
    """End what the killed `supervisor` left, unless it wrote an end or another spoke for it."""
    while folder.path.exists():
        with contextlib.suppress(OSError), holding(folder) as is_free:
            identity = folder.identity()
            if identity is None or identity["supervisor"] != supervisor.to_json():
                return
            if folder.exit() is not None:
                return
            if is_free and not kill_left(folder, identity):
                beginning = Beginning.of(identity, processes.boot_id())
                ended_at = beginning.until_now() if beginning else datetime.now(UTC)
                write_lost(folder, identity, SUPERVISOR_KILLED, ended_at)
                return
        wait(_AGAIN_S)


def _fork_guard(folder: UnitFolder, supervisor: Process, ended: int, writer: int) -> NoReturn:
    # The process between ends at once, so that the guard has no parent that waits for it.
    try:
        pid = os.fork()
        if pid == 0:
            _stand(folder, supervisor, ended)
        os.write(writer, str(pid).encode())
    finally:
        os._exit(0)


def _stand(folder: UnitFolder, supervisor: Process, ended: int) -> NoReturn:
    try:
        os.setsid()
        kernel.set_name("plinth-guard")
        _reset_signals()
        # The unit's lock among them: it must go with the supervisor.
        os.closerange(3, ended)
        os.closerange(ended + 1, os.sysconf("SC_OPEN_MAX"))
        os.read(ended, 1)
        clear_up(folder, supervisor)
    except BaseException:  # the process's edge: nobody above could report it
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        os._exit(0)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
