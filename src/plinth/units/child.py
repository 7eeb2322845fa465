"""Turn a forked process into the unit's command: limits, confinement, descriptors, exec.

Called by the supervisor. Between the fork and the exec the process waits until it is written
down who runs the unit; if the supervisor is killed meanwhile, the command never runs.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from dataclasses import dataclass, field, replace
from typing import NoReturn

from plinth.units import kernel, processes
from plinth.units.isolation.confine import confine
from plinth.units.spec import UnitSpec

SOCKET_DESCRIPTOR = 3
# On which a worker says, by one line, that it takes connections from the shared socket.
SAYS_DESCRIPTOR = 4

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_NOT_CONFINED = 125
_REPORT_BYTES = 4096


@dataclass
class Start:
    """What the child needs to begin, and the two pipes between it and its supervisor.

    `level` None: a trusted unit. `mark` is the unit's folder. `listener`: a bound socket.
    `says`: the end of a pipe that a worker writes to.
    """

    spec: UnitSpec
    mark: str
    level: int | None
    listener: int | None
    says: int | None = None
    _go: tuple[int, int] = field(default_factory=os.pipe, init=False)
    _report: tuple[int, int] = field(default_factory=os.pipe, init=False)

    def keep_parent_ends(self) -> None:
        """Close in the supervisor what belongs to the child."""
        os.close(self._go[0])
        os.close(self._report[1])
        for passed in (self.listener, self.says):
            if passed is not None:
                os.close(passed)

    def release(self) -> None:
        """Let the child go on. A child that was killed meanwhile is no error."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go[1], b"g")
        os.close(self._go[1])

    def failure(self) -> str | None:
        """Return why the command could not begin, once the child has ended; None if it did."""
        text = os.read(self._report[0], _REPORT_BYTES).decode(errors="replace")
        return text or None

    def call_off(self) -> None:
        """Let the child end before it began; nothing is asked of it afterwards."""
        os.close(self._go[1])
        self.close()

    def close(self) -> None:
        """Close what is left in the supervisor, where the unit goes on without this child."""
        os.close(self._report[0])

    def wait_for_release(self) -> bool:
        """Block in the child until `release`; False when the supervisor is gone."""
        os.close(self._go[1])
        return os.read(self._go[0], 1) == b"g"

    def report(self, reason: str) -> None:
        """Tell the supervisor from the child why the command cannot begin."""
        os.write(self._report[1], reason.encode()[:_REPORT_BYTES])

    def arrange_descriptors(self) -> None:
        """Leave the child 0, 1, 2, the listening socket as 3, what a worker says on as 4, and the
        report pipe until exec.
        """
        report = _above(self._report[1])
        passed = {SOCKET_DESCRIPTOR: self.listener, SAYS_DESCRIPTOR: self.says}
        given = {place: _above(each) for place, each in passed.items() if each is not None}
        for place, each in given.items():
            # It clears close-on-exec.
            os.dup2(each, place)
        first = SOCKET_DESCRIPTOR
        for kept in (*given, report):
            os.closerange(first, kept)
            first = kept + 1
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))
        self._report = (self._report[0], report)


def _above(descriptor: int) -> int:
    """Return a copy that stands where no descriptor is passed."""
    copy = os.dup(descriptor)
    while copy <= SAYS_DESCRIPTOR:
        copy = os.dup(copy)
    return copy


def become(start: Start, supervisor: int) -> NoReturn:
    """Wait for the release, then become the unit's command. Never returns."""
    code = _NOT_CONFINED
    try:
        _reset_signals()
        kernel.die_with_parent(supervisor, signal.SIGKILL)
        # Its own session, so that a command that signals its group does not meet the supervisor.
        os.setsid()
        if start.wait_for_release():
            _limit(start.spec)
            start.arrange_descriptors()
            _enter(start)
            kernel.die_with_parent(supervisor, signal.SIGKILL)
            code = _execute(start)
    except BaseException as err:  # the process's edge: it must not unwind further
        with contextlib.suppress(BaseException):
            start.report(f"it could not begin: {err}")
    finally:
        os._exit(code)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        # Python ignores SIGPIPE and SIGXFSZ for itself; a command expects the defaults.
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _limit(spec: UnitSpec) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if spec.confinement is None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if spec.memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (spec.memory_bytes, spec.memory_bytes))


def _enter(start: Start) -> None:
    spec = start.spec
    if start.level is not None and spec.confinement is not None:
        confinement = replace(spec.confinement, read=_readable(spec))
        serves = start.listener is not None
        confine(start.level, confinement, serves=serves, memory_bytes=spec.memory_bytes)
    try:
        os.chdir(spec.cwd)
    except OSError as err:
        raise OSError(f"the work folder `{spec.cwd}` cannot be entered: {err.strerror}") from err


def _readable(spec: UnitSpec) -> tuple[str, ...]:
    """Return the paths to read, with the work folder: a command must see where it stands.

    A work folder below a listed path adds nothing: an earlier attempt could write there, and may
    have put a link in its place.
    """
    assert spec.confinement is not None
    listed = (*spec.confinement.read, *spec.confinement.write)
    if any(spec.cwd == path or spec.cwd.startswith(f"{path}/") for path in listed):
        return spec.confinement.read
    return (*spec.confinement.read, spec.cwd)


def _execute(start: Start) -> int:
    spec = start.spec
    environment = {**spec.env, processes.MARKER: start.mark}
    try:
        os.execvpe(spec.argv[0], spec.argv, environment)
    except FileNotFoundError:
        start.report(f"command not found: `{spec.argv[0]}`")
        return _NOT_FOUND
    except OSError as err:
        start.report(f"the command `{spec.argv[0]}` cannot be executed: {err.strerror}")
        return _NOT_EXECUTABLE
