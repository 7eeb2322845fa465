"""Whatever happens in whatever order, a run's rows tell one story, and it ends."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from plinth.control.runs.service import is_metered, remove_run, stop_run
from plinth.domain.run import Phase, may_become
from plinth.domain.usage import Meter
from plinth.kit.errors import Temporary
from plinth.store.runs import find_run
from tests.control.plane import Plane, make_plane

METHODS = ("start", "observe", "stop")
# Longer than any wait of a reconciler between two looks.
QUIET_STEPS = 400


class Life(RuleBasedStateMachine):
    """Jobs are submitted, stopped, killed and lost while parts of Plinth fail and restart."""

    runs: Bundle[str] = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        # One thread: which run meets a planned error must not differ when Hypothesis tries again.
        self.plane: Plane = self._stack.enter_context(make_plane(threads=1))
        self.phases: dict[str, Phase] = {}
        self.limits: dict[str, int] = {}
        self.lost: set[str] = set()

    def teardown(self) -> None:
        try:
            self._come_to_rest()
        finally:
            self._stack.close()

    # -- what people and the world do ----------------------------------------------------------

    @rule(target=runs, attempts=st.integers(1, 3), timeout=st.sampled_from([5.0, 3600.0]))
    def submit(self, attempts: int, timeout: float) -> str:
        run = self.plane.submit(attempts=attempts, timeout=timeout)
        self.limits[run] = attempts
        return run

    @rule(run=runs)
    def stop(self, run: str) -> None:
        with self.plane.write() as connection:
            stop_run(connection, self.plane.context, find_run(connection, run))

    @rule(run=runs, code=st.sampled_from([0, 0, 1, 137]))
    def process_ends(self, run: str, code: int) -> None:
        for unit in self._alive(run):
            self.plane.world.end(unit, code)

    @rule(run=runs)
    def process_vanishes(self, run: str) -> None:
        for unit in self._alive(run):
            del self.plane.world.replicas[unit]
            self.lost.add(run)

    @rule(run=runs, deaf=st.booleans())
    def process_ignores_stops(self, run: str, deaf: bool) -> None:
        for unit in self._alive(run):
            self.plane.world.replicas[unit].ignores_stop = deaf

    # -- what happens to Plinth ----------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.1, 0.3, 2.0, 30.0, 70.0]), count=st.integers(1, 6))
    def time_passes(self, seconds: float, count: int) -> None:
        for _ in range(count):
            self.plane.step(seconds)
            self.phases_are_legal()

    @rule(method=st.sampled_from(METHODS))
    def the_engine_fails_once(self, method: str) -> None:
        self.plane.world.fail_next(method, Temporary("the node is away"))

    @rule(fails=st.booleans())
    def tracking_is_away(self, fails: bool) -> None:
        self.plane.tracking.error = Temporary("MLflow is away") if fails else None

    @rule()
    def the_control_plane_is_killed(self) -> None:
        self.plane.restart()

    @rule()
    def usage_is_collected(self) -> None:
        self.plane.parts.metering.collect()

    @rule(target=runs, run=consumes(runs))
    def delete_if_ended(self, run: str) -> object:
        found = self.plane.run(run)
        if not (found.closed and is_metered(self.plane.attempts(run))):
            return run
        with self.plane.write() as connection:
            remove_run(connection, self.plane.context, found)
        del self.phases[run]
        return multiple()

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def phases_are_legal(self) -> None:
        for run_id in [*self.phases, *(set(self.limits) - set(self.phases))]:
            found = self._find(run_id)
            if found is None:
                continue
            before = self.phases.get(run_id, Phase.PENDING)
            assert may_become(before, found.phase), (run_id, before, found.phase)
            assert found.phase.is_final == (found.ended_at is not None)
            self.phases[run_id] = found.phase

    @invariant()
    def attempts_are_one_after_the_other(self) -> None:
        for run_id in self.phases:
            attempts = self.plane.attempts(run_id)
            assert [each.number for each in attempts] == list(range(1, len(attempts) + 1))
            assert len(attempts) <= self.limits[run_id]
            assert all(each.phase.is_final for each in attempts[:-1])
            assert len(self._alive(run_id)) <= 1

    @invariant()
    def nothing_starts_twice(self) -> None:
        starts = self.plane.world.starts
        assert len(starts) == len(set(starts))

    @invariant()
    def an_ended_run_has_no_process_and_no_key(self) -> None:
        for run_id, phase in self.phases.items():
            if phase.is_final:
                assert not self._alive(run_id)
                assert self.plane.live_keys(run_id) == 0

    # -- and how it ends -----------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        self.plane.tracking.error = None
        self.plane.world.errors.clear()
        for replica in self.plane.world.replicas.values():
            replica.ignores_stop = False
        for _ in range(QUIET_STEPS):
            if all(self.plane.run(run).closed for run in self.phases):
                break
            for run in self.phases:
                self.process_ends(run, 0)
            self.plane.step()
            self.phases_are_legal()
        assert all(self.plane.run(run).closed for run in self.phases), self.plane.describe()
        self.plane.parts.metering.collect()
        self._ledger_says_what_was_observed()

    def _ledger_says_what_was_observed(self) -> None:
        used: dict[str, float] = {}
        for record in self.plane.context.ledger.records():
            assert record.meter is Meter.TRAINING_SECONDS
            used[record.run or ""] = used.get(record.run or "", 0.0) + record.quantity
        for run in set(self.phases) - self.lost:
            spans = [
                (each.ended_at - each.started_at).total_seconds()
                for each in self.plane.attempts(run)
                if each.started_at is not None and each.ended_at is not None
            ]
            assert abs(used.get(run, 0.0) - sum(spans)) < 1e-5

    def _alive(self, run: str) -> list[str]:
        return [
            unit
            for unit, replica in self.plane.world.replicas.items()
            if unit.startswith(f"{run}.") and not replica.phase.is_final
        ]

    def _find(self, run_id: str):  # type: ignore[no-untyped-def]
        if run_id in self.phases or run_id in self.limits:
            with self.plane.database.read() as connection:
                row = connection.exec_driver_sql(
                    "select 1 from run where id = ? and deleted_at is null", (run_id,)
                ).first()
            return self.plane.run(run_id) if row else None
        return None


def test_whatever_happens_a_run_ends_once_and_its_rows_tell_how() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=8,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
