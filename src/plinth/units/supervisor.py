"""Hold one unit: start it, wait for it, end its whole tree, write down how it ended.

The agent forks and calls `supervise`, which never returns. The supervisor depends on nobody: it
is in its own session, owns the unit's lock for life and lives on when the agent is killed. It
must not import or log anything on the way, and never wakes up without a reason.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from plinth.kit.clock import to_text
from plinth.units import kernel, processes
from plinth.units.beginning import Beginning
from plinth.units.child import Start
from plinth.units.folder import Record, UnitFolder, take_lock
from plinth.units.guard import stand_guard
from plinth.units.spec import UnitSpec
from plinth.units.tree import HANDLED, MainTree, Tree
from plinth.units.workers import Workers

_BACKLOG = 1024
_WRITE_AGAIN_S = 1.0


def supervise(path: Path, level: int) -> NoReturn:
    """Run the unit whose folder is `path` at isolation `level`, in this forked process."""
    code = 70
    try:
        _detach()
        _supervise(UnitFolder(path), level)
        code = 0
    except BaseException:  # the process's edge: nobody above could report it
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        os._exit(code)


def _detach() -> None:
    # Garbage collection would write to pages that are shared with the agent and its children.
    gc.disable()
    signal.set_wakeup_fd(-1)
    with contextlib.suppress(OSError):
        os.setsid()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")


def _supervise(folder: UnitFolder, level: int) -> None:
    # The lock stays open until this process ends, and the children of this process close it.
    if take_lock(folder) is None or folder.identity() or folder.exit() or folder.stop_wish():
        return
    kernel.set_name("plinth-unit")
    _redirect(folder.log)
    spec = folder.spec()
    wakeup = _listen_to_signals()
    beginning = Beginning.now()
    try:
        folder.reserve_exit()
        guard = stand_guard(folder)
        kernel.become_subreaper()
        start = _prepare(folder, spec, level)
        tree = _tree(folder, start, wakeup, beginning)
        _write_identity(folder, start, beginning, {**tree.begin(), "guard": guard})
    except OSError as err:
        folder.write_exit(_ending(beginning, reason=str(err)))
        return
    tree.wait()
    _remove_socket(spec)
    ending = _ending(
        beginning,
        status=tree.status,
        stopped=tree.is_stopped,
        reason=tree.reason,
    )
    write_exit_at_last(folder, ending)


def write_exit_at_last(
    folder: UnitFolder, ending: Record, wait: Callable[[float], None] = time.sleep
) -> None:
    """Write how a unit ended, and try for as long as the disk refuses; the caller holds the lock.

    Without it, a unit that ended well would count as lost, and its work be done again.
    """
    while folder.path.exists():
        with contextlib.suppress(OSError):
            folder.write_exit(ending)
            return
        wait(_WRITE_AGAIN_S)


def _redirect(log: Path) -> None:
    empty = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(empty, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in {empty, output} - {0, 1, 2}:
        os.close(descriptor)


def _listen_to_signals() -> int:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in HANDLED:
        signal.signal(number, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    return reader


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing: the number arrives through the wake-up pipe."""


def _prepare(folder: UnitFolder, spec: UnitSpec, level: int) -> Start:
    reached = level if spec.confinement is not None else None
    listener = _bind(spec.socket) if spec.socket is not None else None
    return Start(spec=spec, mark=str(folder.path), level=reached, listener=listener)


def _tree(folder: UnitFolder, start: Start, wakeup: int, beginning: Beginning) -> Tree:
    if start.spec.elastic is None:
        return MainTree(folder, start, wakeup)
    return Workers(folder, start, wakeup, beginning)


def _bind(path: str) -> int:
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    except OSError as err:
        raise OSError(f"the socket `{path}` cannot be made: {err.strerror or err}") from err
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    return listener.detach()


def _remove_socket(spec: UnitSpec) -> None:
    if spec.socket is not None:
        with contextlib.suppress(OSError):
            Path(spec.socket).unlink()


def _write_identity(
    folder: UnitFolder,
    start: Start,
    beginning: Beginning,
    others: dict[str, processes.Process],
) -> None:
    folder.write_identity(
        {
            "boot_id": processes.boot_id(),
            "supervisor": processes.identify(os.getpid()).to_json(),
            **{name: process.to_json() for name, process in others.items()},
            **beginning.to_json(),
            "isolation": start.level,
        }
    )


def _ending(
    beginning: Beginning,
    *,
    status: int | None = None,
    stopped: bool = False,
    reason: str | None = None,
) -> Record:
    code = os.waitstatus_to_exitcode(status) if status is not None else None
    return {
        "phase": "exited",
        "code": code if code is not None and code >= 0 else None,
        "signal": -code if code is not None and code < 0 else None,
        "stopped": stopped,
        "reason": reason,
        "started_at": to_text(beginning.at),
        "ended_at": to_text(beginning.until_now()),
    }
