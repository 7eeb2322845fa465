"""The engine in memory keeps what of the contract needs no process to be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.domain.run import Phase
from plinth.engines.base import Engine
from plinth.kit.clock import FakeClock
from plinth.kit.errors import Conflict
from tests.contracts.engine import EngineContract, EnginePlace
from tests.contracts.fake_engine import FakeEngine, World

# What stands for a process that does what the code says: (exit code, reason).
_ENDINGS = {
    "pass": (0, None),
    "print('hello')": (0, None),
    "raise SystemExit(3)": (3, None),
    "import os; os.kill(os.getpid(), 9)": (137, "ended by SIGKILL"),
}


def _behave(world: World, unit: str) -> None:
    command = world.replicas[unit].spec.command
    if command[0] != "python":
        world.end(unit, 127, f"`{command[0]}` was not found")
    elif command[1] in _ENDINGS:
        world.end(unit, *_ENDINGS[command[1]])


class FakePlace(EnginePlace):
    """A place in memory."""

    def __init__(self, folder: Path) -> None:
        self.world = World(FakeClock(), _behave)
        self._folder = folder

    def engine(self) -> Engine:
        return FakeEngine(self.world)

    def lose_everything(self) -> None:
        """There is nothing between the engine and its replicas."""

    def folder(self, run: str) -> Path:
        (self._folder / run).mkdir(exist_ok=True)
        return self._folder / run

    def python(self) -> tuple[str, ...]:
        return ("python",)

    def since_boot_s(self) -> float:
        return self.world.clock.since_boot_s()


@pytest.fixture
def place(tmp_path: Path) -> FakePlace:
    return FakePlace(tmp_path)


class TestFakeEngine:
    """The part of the suite whose code is not run but looked up."""

    test_runs = EngineContract.test_a_replica_runs_to_its_end
    test_handle = EngineContract.test_the_handle_is_known_before_the_start
    test_lower = EngineContract.test_a_lower_attempt_is_refused
    test_other = EngineContract.test_another_replica_or_run_is_not_a_lower_attempt
    test_exit = EngineContract.test_exit_codes_and_signals_are_seen
    test_missing = EngineContract.test_a_missing_command_is_a_failure_with_its_reason
    test_gone = EngineContract.test_what_is_missing_is_seen_as_gone
    test_stop = EngineContract.test_stopping_what_is_missing_or_over_succeeds
    test_isolation = EngineContract.test_isolation_below_what_is_asked_is_refused_for_good
    test_late = EngineContract.test_an_order_after_its_lease_is_refused_and_changes_nothing
    test_offers = EngineContract.test_there_is_something_to_offer


def test_an_attempt_starts_once_however_often_it_is_asked_for(place: FakePlace) -> None:
    spec = place.spec("while True: pass")
    for _ in range(3):
        place.engine().start(spec)
    assert place.world.starts == ["r_a.0.1"]


def test_a_stopped_replica_is_stopped_and_can_be_forgotten(place: FakePlace) -> None:
    engine = place.engine()
    handle = engine.start(place.spec("while True: pass"))
    with pytest.raises(Conflict):
        engine.forget(handle)
    engine.stop(handle, 1.0)
    assert engine.observe([handle])[0].phase is Phase.STOPPED
    engine.forget(handle)
    engine.forget(handle)
    assert engine.observe([handle])[0].gone
