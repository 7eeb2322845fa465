"""What every engine promises; each engine's tests inherit this suite.

A subclass gives the fixture `place`: an EnginePlace whose `engine()` returns a new engine object
for the same place on each call, so that nothing can be kept in memory.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

import pytest

from plinth.domain.run import Observation, Phase
from plinth.engines.base import Engine, Handle, ReplicaSpec
from plinth.kit.errors import Conflict, Permanent, Temporary

PATIENCE_S = 30.0

COUNT = "import os; os.write(os.open('count', os.O_WRONLY | os.O_APPEND | os.O_CREAT), b'x')"
# Ignores SIGTERM, and leaves a daemon in a session of its own that ignores it too.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def note(name):
    with open(name, 'w') as file: file.write(str(os.getpid()))
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid(); note('daemon')
        while True: time.sleep(1)
    os._exit(0)
os.wait()
note('main')
print('ready', flush=True)
while True: time.sleep(1)
"""


class EnginePlace(ABC):
    """One place where replicas run, and how a test looks behind the engine."""

    @abstractmethod
    def engine(self) -> Engine:
        """Return a new engine object for this place."""

    @abstractmethod
    def lose_everything(self) -> None:
        """Kill whatever process of Plinth stands between the engine and its replicas."""

    @abstractmethod
    def folder(self, run: str) -> Path:
        """Return the work folder of a run, existing."""

    @abstractmethod
    def python(self) -> tuple[str, ...]:
        """Return a command that runs Python code given as the next argument."""

    @abstractmethod
    def since_boot_s(self) -> float:
        """Return the seconds by which the place counts how long an order is valid."""

    def spec(self, code: str, *, run: str = "r_a", attempt: int = 1) -> ReplicaSpec:
        """Return an attempt of replica 0 that runs Python code."""
        folder = self.folder(run)
        return ReplicaSpec(
            run=run,
            replica=0,
            attempt=attempt,
            command=(*self.python(), code),
            variables={"PATH": "/usr/bin:/bin"},
            folder=str(folder),
            gateway_port=1,
            grace_s=5.0,
        )

    def wait_for_end(self, handle: Handle) -> Observation:
        """Return what is seen of a replica once it ended."""
        return self.wait_for(handle, lambda seen: seen.phase.is_final)

    def wait_for_output(self, handle: Handle, text: bytes) -> None:
        """Return once the replica wrote `text`."""
        self.wait_for(handle, lambda _: text in self.engine().logs(handle, 0, 10**6)[0])

    def wait_for(self, handle: Handle, holds: object) -> Observation:
        """Return the first observation for which `holds` is true."""
        assert callable(holds)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            (seen,) = self.engine().observe([handle])
            if holds(seen):
                return seen
            time.sleep(0.02)
        raise AssertionError(f"nothing after {PATIENCE_S} s: {seen}")


class EngineContract:
    """The suite."""

    def test_a_replica_runs_to_its_end(self, place: EnginePlace) -> None:
        handle = place.engine().start(place.spec("print('hello')"))
        seen = place.wait_for_end(handle)
        assert (seen.phase, seen.exit_code, seen.gone) == (Phase.SUCCEEDED, 0, False)
        assert seen.started_at is not None
        assert seen.ended_at is not None
        assert seen.started_at <= seen.ended_at
        assert seen.isolation == place.engine().capability.isolation

    def test_the_handle_is_known_before_the_start(self, place: EnginePlace) -> None:
        spec = place.spec("pass")
        assert place.engine().handle(spec) == place.engine().start(spec)

    def test_an_attempt_starts_once_however_often_it_is_asked_for(self, place: EnginePlace) -> None:
        spec = place.spec(COUNT + "; import time; time.sleep(0.2)")
        handles = [place.engine().start(spec) for _ in range(3)]
        place.wait_for_end(handles[0])
        assert place.engine().start(spec) == handles[0]
        place.engine().start(spec)
        assert place.wait_for_end(handles[0]).phase is Phase.SUCCEEDED
        assert (place.folder("r_a") / "count").read_text() == "x"

    def test_a_lower_attempt_is_refused(self, place: EnginePlace) -> None:
        place.engine().start(place.spec("pass", attempt=2))
        with pytest.raises(Conflict):
            place.engine().start(place.spec("pass", attempt=1))

    def test_another_replica_or_run_is_not_a_lower_attempt(self, place: EnginePlace) -> None:
        place.engine().start(place.spec("pass", attempt=2))
        first = place.spec("pass", run="r_b", attempt=1)
        place.engine().start(first)
        place.engine().start(replace(place.spec("pass"), replica=1))

    def test_exit_codes_and_signals_are_seen(self, place: EnginePlace) -> None:
        failing = place.engine().start(place.spec("raise SystemExit(3)", run="r_b"))
        killed = place.engine().start(
            place.spec("import os; os.kill(os.getpid(), 9)", run="r_c"),
        )
        seen = place.wait_for_end(failing)
        assert (seen.phase, seen.exit_code) == (Phase.FAILED, 3)
        seen = place.wait_for_end(killed)
        assert (seen.phase, seen.exit_code) == (Phase.FAILED, 137)
        assert seen.reason == "ended by SIGKILL"

    def test_a_missing_command_is_a_failure_with_its_reason(self, place: EnginePlace) -> None:
        spec = replace(place.spec(""), command=("no-such-command",))
        seen = place.wait_for_end(place.engine().start(spec))
        assert seen.phase is Phase.FAILED
        assert seen.reason is not None
        assert "no-such-command" in seen.reason

    def test_what_is_missing_is_seen_as_gone(self, place: EnginePlace) -> None:
        known = place.engine().start(place.spec("pass"))
        missing = place.engine().handle(place.spec("pass", run="r_missing"))
        gone, here = place.engine().observe([missing, known])
        assert gone.gone
        assert not here.gone

    def test_stopping_what_is_missing_or_over_succeeds(self, place: EnginePlace) -> None:
        place.engine().stop(place.engine().handle(place.spec("pass", run="r_missing")), 1.0)
        handle = place.engine().start(place.spec("pass"))
        place.wait_for_end(handle)
        place.engine().stop(handle, 1.0)
        assert place.wait_for_end(handle).phase is Phase.SUCCEEDED

    def test_a_replica_may_end_well_when_it_is_stopped(self, place: EnginePlace) -> None:
        code = (
            "import signal, time\n"
            "def end(*_): print('bye', flush=True); raise SystemExit(0)\n"
            "signal.signal(signal.SIGTERM, end)\n"
            "print('ready', flush=True)\n"
            "while True: time.sleep(1)"
        )
        handle = place.engine().start(place.spec(code))
        place.wait_for_output(handle, b"ready")
        place.engine().stop(handle, 20.0)
        seen = place.wait_for_end(handle)
        assert (seen.phase, seen.exit_code) == (Phase.STOPPED, 0)
        assert place.engine().logs(handle, 0, 100)[0].endswith(b"bye\n")

    def test_nothing_is_left_of_a_replica_that_ignores_sigterm(self, place: EnginePlace) -> None:
        if sys.platform != "linux":
            pytest.skip("only Linux hands daemons to their supervisor")
        handle = place.engine().start(place.spec(STUBBORN))
        place.wait_for_output(handle, b"ready")
        folder = place.folder("r_a")
        daemon = folder / "daemon"
        place.wait_for(handle, lambda _: daemon.exists() and daemon.read_text())
        begun = time.monotonic()
        place.engine().stop(handle, 0.3)
        seen = place.wait_for_end(handle)
        assert time.monotonic() - begun > 0.3
        assert (seen.phase, seen.exit_code) == (Phase.STOPPED, 137)
        for name in ("main", "daemon"):
            assert not Path("/proc", (folder / name).read_text()).exists()

    def test_logs_are_read_from_an_offset(self, place: EnginePlace) -> None:
        code = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
        handle = place.engine().start(place.spec(code))
        place.wait_for_end(handle)
        first, following = place.engine().logs(handle, 0, 4)
        rest, end = place.engine().logs(handle, following, 100)
        assert (first, rest, end) == (b"out\n", b"err\n", 8)
        assert place.engine().logs(handle, end, 100) == (b"", 8)
        assert place.engine().logs(handle, -end, 100) == (first + rest, end)
        assert place.engine().logs(handle, -2, 100)[1] == end

    def test_replicas_are_found_again_after_everything_was_killed(self, place: EnginePlace) -> None:
        code = (
            COUNT + "\nimport os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
            "raise SystemExit(5)"
        )
        spec = place.spec(code)
        handle = place.engine().start(spec)
        place.wait_for(handle, lambda seen: seen.phase is Phase.RUNNING)
        place.lose_everything()
        assert place.engine().start(spec) == handle
        assert place.engine().observe([handle])[0].phase is Phase.RUNNING
        (place.folder("r_a") / "go").touch()
        seen = place.wait_for_end(handle)
        assert (seen.phase, seen.exit_code) == (Phase.FAILED, 5)
        assert (place.folder("r_a") / "count").read_text() == "x"

    def test_isolation_below_what_is_asked_is_refused_for_good(self, place: EnginePlace) -> None:
        with pytest.raises(Permanent, match="isolation level"):
            place.engine().start(replace(place.spec("pass"), isolation=99))

    def test_an_order_after_its_lease_is_refused_and_changes_nothing(
        self, place: EnginePlace
    ) -> None:
        spec = place.spec("while True: pass")
        over, yet_to_come = place.since_boot_s() - 0.001, place.since_boot_s() + PATIENCE_S
        with pytest.raises(Temporary) as caught:
            place.engine().start(spec, valid_until=over)
        assert caught.value.code == "stale_order"
        handle = place.engine().handle(spec)
        assert place.engine().observe([handle])[0].gone
        place.engine().start(spec, valid_until=yet_to_come)
        running = place.wait_for(handle, lambda seen: seen.phase is Phase.RUNNING)
        with pytest.raises(Temporary):
            place.engine().stop(handle, 0.0, valid_until=over)
        with pytest.raises(Temporary):
            place.engine().start(spec, valid_until=over)
        place.engine().stop(handle, 0.0, valid_until=yet_to_come)
        assert place.wait_for_end(handle).started_at == running.started_at
        with pytest.raises(Temporary):
            place.engine().forget(handle, valid_until=over)
        assert not place.engine().observe([handle])[0].gone
        place.engine().forget(handle, valid_until=yet_to_come)
        assert place.engine().observe([handle])[0].gone

    def test_there_is_something_to_offer(self, place: EnginePlace) -> None:
        offers = place.engine().offers()
        assert offers
        assert all(offer.cpu > 0 and offer.memory > 0 for offer in offers)
        assert {"train", "online"} <= set(place.engine().capability.functions)
