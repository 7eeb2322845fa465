"""Hold one unit: start it, wait for it, end its whole tree, write down how it ended.

The agent forks and calls `supervise`, which never returns. The supervisor depends on nobody: it
is in its own session, owns the unit's lock for life and lives on when the agent is killed. It
must not import or log anything on the way, and never wakes up without a reason.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from plinth.kit.clock import to_text
from plinth.units import kernel, processes
from plinth.units.beginning import Beginning
from plinth.units.child import Start, become
from plinth.units.folder import Record, UnitFolder, take_lock
from plinth.units.guard import stand_guard
from plinth.units.spec import UnitSpec

# What the agent has handlers for: they are blocked while it forks, until the child has its own.
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

_BACKLOG = 1024
_KILL_AGAIN_S = (0.02, 0.5)
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
        main = _fork_main(start)
        _write_identity(folder, start, beginning, {"child": main, "guard": guard})
    except OSError as err:
        folder.write_exit(_ending(beginning, reason=str(err)))
        return
    tree = _Tree(folder, spec, main, wakeup)
    start.release()
    tree.wait()
    failure = start.failure()
    _remove_socket(spec)
    ending = _ending(
        beginning,
        status=tree.status,
        stopped=tree.is_stopped,
        reason=failure or _reason(tree),
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


def _fork_main(start: Start) -> processes.Process:
    parent = os.getpid()
    # A signal to the child must wait until it no longer has this process's handlers.
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    pid = os.fork()
    if pid == 0:
        become(start, parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    start.keep_parent_ends()
    return processes.identify(pid)


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


def _reason(tree: _Tree) -> str | None:
    if tree.is_stopped:
        return "stopped"
    code = os.waitstatus_to_exitcode(tree.status) if tree.status is not None else 0
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"exited with code {code}" if code else None


@dataclass
class _Tree:
    """The main process and everything that descends from it."""

    folder: UnitFolder
    spec: UnitSpec
    main: processes.Process
    wakeup: int
    status: int | None = None
    is_stopped: bool = False
    _deadline: float | None = field(default=None, init=False)
    _kills: int = field(default=0, init=False)

    def wait(self) -> None:
        """Block until no process of the unit is left; end the rest when the main one ends."""
        while self._reap():
            if self.status is not None and self._deadline is None:
                self._begin_end(self.spec.grace_s)
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._kill()
            if signal.SIGTERM in self._sleep():
                self._stop()

    def _reap(self) -> bool:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.main.pid:
                self.status = status

    def _sleep(self) -> set[int]:
        timeout = None
        if self._deadline is not None:
            timeout = max(0.0, self._deadline - time.monotonic())
        select.select([self.wakeup], [], [], timeout)
        with contextlib.suppress(BlockingIOError):
            return set(os.read(self.wakeup, 4096))
        return set()

    def _stop(self) -> None:
        self.is_stopped = self.is_stopped or self.status is None
        wish = self.folder.stop_wish() or {}
        self._begin_end(float(wish.get("grace_s", self.spec.grace_s)))

    def _begin_end(self, grace_s: float) -> None:
        deadline = time.monotonic() + grace_s
        if self._deadline is None:
            self._signal_all(signal.SIGTERM)
            self._deadline = deadline
        self._deadline = min(self._deadline, deadline)

    def _kill(self) -> None:
        # What forks faster than it is killed is met again, as it descends from this process.
        self._signal_all(signal.SIGKILL)
        self._kills += 1
        first, last = _KILL_AGAIN_S
        self._deadline = time.monotonic() + min(first * self._kills, last)

    def _signal_all(self, number: int) -> None:
        if not kernel.IS_LINUX:
            with contextlib.suppress(OSError):
                os.killpg(self.main.pid, number)
            return
        for process in processes.descendants(os.getpid()):
            processes.send(process, number)
