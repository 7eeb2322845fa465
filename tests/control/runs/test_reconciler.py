"""Runs go from pending to their end, through every fault, and end once."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.control.runs.service import stop_run
from plinth.domain.run import Phase
from plinth.kit.errors import Invalid, Permanent, Temporary
from plinth.store.runs import want_stop
from tests.contracts.fake_engine import World
from tests.control.plane import TEAM, Plane, make_plane


def ended(plane: Plane, run: str) -> bool:
    stored = plane.run(run)
    return stored.phase.is_final and stored.closed


def finish(plane: Plane, run: str) -> Any:
    plane.until(lambda: ended(plane, run))
    return plane.run(run)


def running(plane: Plane, run: str) -> None:
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)


def stop(plane: Plane, run: str) -> None:
    with plane.write() as connection:
        stop_run(connection, plane.context, plane.run(run))


def deploy(plane: Plane, **fields: Any) -> str:
    return plane.apply(**fields).deployment


# -- jobs -----------------------------------------------------------------------------------------


def test_a_job_runs_to_success(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    assert plane.world.starts == [f"{run}.0.1"]
    assert plane.live_keys(run) == 1
    plane.world.end(f"{run}.0.1")
    seen = finish(plane, run)
    assert (seen.phase, seen.reason, seen.exit_code) == (Phase.SUCCEEDED, "Completed", 0)
    assert seen.ended_at == plane.world.replicas[f"{run}.0.1"].ended_at
    assert plane.live_keys(run) == 0
    assert plane.tracking.finished == {seen.tracking_run: ["FINISHED"]}
    assert plane.attempts(run)[0].phase is Phase.SUCCEEDED
    assert plane.reasons(f"run/{run}") == ["Accepted", "Starting", "Running", "Completed"]


def test_a_job_gets_its_own_key_and_the_address_of_everything(plane: Plane) -> None:
    run = plane.submit(variables={"DEPTH": "3"})
    running(plane, run)
    variables = plane.world.replicas[f"{run}.0.1"].spec.variables
    claims = plane.context.claims_of(variables["PLINTH_KEY"])
    assert claims is not None
    assert (claims.principal, claims.team) == (plane.run(run).principal, TEAM)
    assert claims.key_id == plane.attempts(run)[0].key
    assert variables["MLFLOW_TRACKING_TOKEN"] == variables["PLINTH_KEY"]
    assert variables["MLFLOW_RUN_ID"] == plane.run(run).tracking_run
    assert (variables["DEPTH"], variables["PLINTH_ATTEMPT"]) == ("3", "1")


def test_a_job_that_exits_with_3_has_failed_and_says_so(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    plane.world.end(f"{run}.0.1", 3)
    seen = finish(plane, run)
    assert (seen.phase, seen.reason, seen.message) == (Phase.FAILED, "Failed", "exited with 3")
    assert seen.exit_code == 3
    assert plane.tracking.finished == {seen.tracking_run: ["FAILED"]}


def test_a_job_that_ends_before_it_was_seen_running_has_ended(plane: Plane) -> None:
    plane.world.behave = lambda world, unit: world.end(unit, 127, "`x.py` was not found")
    run = plane.submit()
    seen = finish(plane, run)
    assert (seen.phase, seen.message) == (Phase.FAILED, "`x.py` was not found")


def test_a_pending_job_can_be_stopped(plane: Plane) -> None:
    plane.builder.error = Temporary("building", code="building_environment")
    run = plane.submit()
    plane.step()
    assert plane.run(run).reason == "BuildingEnvironment"
    stop(plane, run)
    seen = finish(plane, run)
    assert (seen.phase, plane.world.starts) == (Phase.STOPPED, [])


def test_a_pending_job_can_be_stopped_without_the_engine(plane: Plane) -> None:
    run = plane.submit()
    plane.world.fail_next("observe", *[Temporary("no agent")] * 50)
    stop(plane, run)
    for _ in range(5):
        plane.step()
    assert plane.run(run).phase is Phase.STOPPED


def test_a_running_job_can_be_stopped(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    stop(plane, run)
    seen = finish(plane, run)
    assert (seen.phase, seen.exit_code) == (Phase.STOPPED, 143)
    assert plane.tracking.finished == {seen.tracking_run: ["KILLED"]}
    assert plane.live_keys(run) == 0


def test_stopping_again_after_the_end_changes_nothing(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    plane.world.end(f"{run}.0.1")
    seen = finish(plane, run)
    stop(plane, run)
    plane.step()
    assert plane.run(run) == seen


def test_a_job_that_succeeded_before_it_could_be_stopped_has_succeeded(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    plane.world.end(f"{run}.0.1")
    stop(plane, run)
    assert finish(plane, run).phase is Phase.SUCCEEDED


def test_attempts_that_never_started_are_not_left_starting(plane: Plane) -> None:
    run = plane.submit()
    plane.world.fail_next("start", *[Temporary("the agent is away")] * 3)
    plane.until(lambda: plane.run(run).phase is Phase.STARTING)
    stop(plane, run)
    assert finish(plane, run).phase is Phase.STOPPED
    assert [attempt.phase for attempt in plane.attempts(run)] == [Phase.STOPPED]


def test_what_fails_for_now_is_shown_and_goes_on(plane: Plane) -> None:
    plane.tracking.error = Temporary("MLflow starts", retry_after_s=3)
    run = plane.submit()
    plane.step()
    seen = plane.run(run)
    assert (seen.phase, seen.reason, seen.message) == (
        Phase.PENDING,
        "Unavailable",
        "MLflow starts",
    )
    assert plane.step(1) == 0
    plane.tracking.error = None
    running(plane, run)


def test_what_fails_for_good_ends_the_run(plane: Plane) -> None:
    plane.builder.error = Invalid("no such package `nope`", hint="correct its name")
    run = plane.submit()
    seen = finish(plane, run)
    assert (seen.phase, seen.reason) == (Phase.FAILED, "Invalid")
    assert seen.message == "no such package `nope`; correct its name"


def test_a_start_that_is_refused_for_good_ends_the_run(plane: Plane) -> None:
    plane.world.fail_next("start", *[Permanent("the level is not reached")] * 500)
    run = plane.submit()
    seen = finish(plane, run)
    assert (seen.phase, seen.message) == (Phase.FAILED, "the level is not reached")
    assert len(plane.world.errors["start"]) == 499


def test_an_unknown_error_is_shown_waits_and_goes_on(plane: Plane) -> None:
    plane.world.fail_next("start", KeyError("oh"))
    run = plane.submit()
    plane.until(lambda: plane.run(run).reason == "Unavailable")
    assert "unexpected KeyError" in plane.run(run).message
    assert plane.step(0.5) == 0
    running(plane, run)


def test_a_permanent_error_while_it_stops_is_not_repeated_at_once(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    plane.world.fail_next("stop", *[Permanent("cannot stop it")] * 400)
    stop(plane, run)
    for _ in range(20):
        plane.step(0.05)
    assert len(plane.world.errors["stop"]) > 390
    plane.world.errors.clear()
    assert finish(plane, run).phase in (Phase.STOPPED, Phase.FAILED)


def test_a_replica_that_vanished_has_failed(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    del plane.world.replicas[f"{run}.0.1"]
    seen = finish(plane, run)
    assert (seen.phase, seen.message) == (
        Phase.FAILED,
        "the engine knows nothing of it any more",
    )


def test_the_reason_of_the_end_stays_when_tracking_is_away(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    plane.tracking.error = Temporary("MLflow is away")
    plane.world.end(f"{run}.0.1", 3)
    plane.until(lambda: plane.run(run).phase is Phase.FAILED)
    for _ in range(8):
        plane.step()
    seen = plane.run(run)
    assert (seen.reason, seen.message, seen.closed) == ("Failed", "exited with 3", False)
    assert plane.reasons(f"run/{run}").count("NotClosed") == 1
    plane.tracking.error = None
    assert finish(plane, run).message == "exited with 3"


def test_a_run_whose_end_tracking_refuses_for_good_is_closed_all_the_same(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    plane.tracking.error = Invalid("MLflow does not like it")
    plane.world.end(f"{run}.0.1")
    seen = finish(plane, run)
    assert (seen.phase, seen.reason) == (Phase.SUCCEEDED, "Completed")
    assert plane.reasons(f"run/{run}")[-1] == "NotClosed"


def test_a_tracking_run_that_somebody_deleted_is_no_trouble(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    plane.tracking.runs.clear()
    plane.world.end(f"{run}.0.1")
    assert finish(plane, run).phase is Phase.SUCCEEDED


# -- deployments ----------------------------------------------------------------------------------


def test_a_deployment_is_running_only_when_it_answers_right(plane: Plane) -> None:
    plane.not_ready = "the model is loading"
    run = deploy(plane)
    plane.until(lambda: plane.run(run).reason == "NotReady")
    assert plane.run(run).phase is Phase.STARTING
    plane.not_ready = None
    running(plane, run)
    assert plane.tracking.runs == {}


def test_nothing_is_started_any_more_once_a_deployment_is_failing(plane: Plane) -> None:
    def crash_first(world: World, unit: str) -> None:
        if unit.split(".")[1] == "0":
            world.end(unit, 3)

    plane.world.behave = crash_first
    run = deploy(plane, replicas=2)
    plane.until(lambda: plane.run(run).reason == "Failing")
    started = len(plane.world.starts)
    finish(plane, run)
    assert len(plane.world.starts) == started
    assert all(replica.phase.is_final for replica in plane.world.replicas.values())


# -- crashes of the control plane ------------------------------------------------------------------


class Killed(BaseException):
    """Stands for `kill -9`: nothing catches it."""


POINTS = (
    "start",
    "started",
    "observe",
    "stop",
    "apply",
    "applied",
    "ensure_run",
    "finish_run",
    "none",
)


def arm(plane: Plane, point: str) -> None:
    """Let the next pass of `point` be the last thing that this control plane does."""
    engine, tracking, loop = plane.context.engine, plane.tracking, plane.loop
    if point in ("start", "observe", "stop"):
        plane.world.fail_next(point, Killed())
    elif point == "started":
        begin = engine.start

        def start(spec: Any, **options: Any) -> Any:
            begin(spec, **options)
            raise Killed

        engine.start = start  # type: ignore[method-assign]
    elif point in ("apply", "applied"):
        write = loop._apply

        def apply(*arguments: Any) -> bool:
            if point == "applied":
                write(*arguments)
            raise Killed

        loop._apply = apply  # type: ignore[method-assign]
    elif point != "none":
        whole = getattr(type(tracking), point)

        def call(*arguments: Any, **options: Any) -> Any:
            whole(tracking, *arguments, **options)
            delattr(tracking, point)
            raise Killed

        setattr(tracking, point, call)


def disarm(plane: Plane) -> None:
    plane.world.errors.clear()
    for name in ("ensure_run", "finish_run"):
        vars(plane.tracking).pop(name, None)


@settings(max_examples=25)
@given(
    crashes=st.lists(st.tuples(st.sampled_from(POINTS), st.integers(0, 4)), max_size=5),
    endings=st.lists(st.sampled_from([0, 1]), min_size=3, max_size=3),
    stop_after=st.sampled_from([None, 0, 2, 5]),
)
def test_a_job_ends_once_wherever_the_control_plane_is_killed(
    crashes: list[tuple[str, int]], endings: list[int], stop_after: int | None
) -> None:
    with make_plane() as plane:
        run = plane.submit(attempts=3)
        seen = _drive(plane, run, crashes, endings, stop_after)
        units = plane.world.starts
        assert len(units) == len(set(units))
        assert units == [f"{run}.0.{n + 1}" for n in range(len(units))]
        assert all(replica.phase.is_final for replica in plane.world.replicas.values())
        assert len(plane.tracking.runs) <= 1
        assert all(len(set(statuses)) == 1 for statuses in plane.tracking.finished.values())
        assert plane.live_keys(run) == 0
        final = {"Completed", "Failed", "Stopped"}
        assert len([r for r in plane.reasons(f"run/{run}") if r in final]) == 1
        if stop_after is None:
            tried = (endings.index(0) + 1) if 0 in endings else 3
            assert len(units) == tried
            assert seen.phase is (Phase.SUCCEEDED if 0 in endings else Phase.FAILED)


def _drive(
    plane: Plane,
    run: str,
    crashes: list[tuple[str, int]],
    endings: list[int],
    stop_after: int | None,
) -> Any:
    """Step to the end; replicas end two steps after their start, each crash is a new process."""
    waiting = list(crashes)
    countdown = waiting[0][1] if waiting else -1
    for steps in range(150):
        if ended(plane, run):
            return plane.run(run)
        if stop_after == steps:
            with plane.write() as connection:
                want_stop(connection, run, plane.clock.now())
        if waiting and countdown == 0:
            arm(plane, waiting[0][0])
        countdown -= 1
        try:
            plane.step()
        except Killed:
            disarm(plane)
            plane.restart()
            waiting = waiting[1:]
            countdown = waiting[0][1] if waiting else -1
        for unit, replica in plane.world.replicas.items():
            age_s = (plane.clock.now() - replica.started_at).total_seconds()
            if not replica.phase.is_final and age_s >= 0.5:
                plane.world.end(unit, endings[min(replica.spec.attempt, 3) - 1])
    raise AssertionError(f"never ended: {plane.describe()}")
