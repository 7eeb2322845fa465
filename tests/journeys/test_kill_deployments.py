"""`kill -9` of everything there is while deployments start, load, serve and start again.

The models wait for files. All are held at once: each shared part is killed once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plinth.kit.errors import NotFound
from tests.journeys import kill_points as at
from tests.journeys.kill_matrix import Subject, wait_until_tidy
from tests.journeys.kill_stage import UNBUILT_MODEL, Served, serving_gates
from tests.journeys.plinth_node import kill, wait_for

POINTS = (
    *(at.D_STARTING, at.D_LOADING, at.D_SERVING, at.D_RESTARTING),
    *(at.APPLIED, at.DEPLOYING, at.SERVING),
)


@pytest.fixture(scope="module")
def served(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Served]:
    with serving_gates(managed_environments, free_port) as running:
        yield running


@pytest.fixture(scope="module")
def runs(served: Served) -> dict[str, str]:
    """Apply four endpoints and hold each at its point; return the deployments."""
    plinth = served.plinth
    found = {
        "starting": str(plinth.apply("starting", UNBUILT_MODEL)["deployment"]),
        "serving": served.apply("serving", "go"),
        "loading": served.apply("loading"),
        "restarting": served.apply("restarting", "go"),
    }
    for name in ("serving", "restarting"):
        served.wait_until_serving(name, found[name])
    served.wait_for_loading(found["loading"], 1)
    (plinth.home.runs / found["restarting"] / "go").unlink()
    kill(plinth.pid_of(f"{found['restarting']}.0.1"))
    served.wait_for_loading(found["restarting"], 2)
    return found


def test_deployments_that_are_held_stay_where_they_are_whoever_is_killed(
    served: Served, runs: dict[str, str]
) -> None:
    held = [
        Subject(
            *((at.D_STARTING, at.APPLIED), runs["starting"], "pending", "BuildingEnvironment"),
            endpoint=("starting", "Deploying"),
        ),
        Subject(
            *((at.D_LOADING, at.DEPLOYING), runs["loading"], "starting", "NotReady"),
            unit=f"{runs['loading']}.0.1",
            endpoint=("loading", "Deploying"),
        ),
        Subject(
            *((at.D_SERVING, at.SERVING), runs["serving"], "running", "Ready"),
            unit=f"{runs['serving']}.0.1",
            endpoint=("serving", "Serving"),
        ),
        Subject(
            *((at.D_RESTARTING,), runs["restarting"], "running"),
            unit=f"{runs['restarting']}.0.2",
            endpoint=("restarting", "Serving"),
        ),
    ]
    for victim in (at.CONTROL, at.AGENT, at.ENVOY, at.MLFLOW):
        # What endpoints do next needs no MLflow, which takes seconds to start.
        served.matrix.kill_shared(victim, held, waits=victim != at.MLFLOW)
        served.wait_for_answer("serving")


@pytest.mark.parametrize(("who", "victim"), [("child", at.SERVER), ("supervisor", at.SUPERVISOR)])
def test_a_server_that_is_killed_is_started_again(
    served: Served, runs: dict[str, str], who: str, victim: str
) -> None:
    plinth = served.plinth
    chosen = {name: runs[name] for name in ("loading", "serving", "restarting")}
    newest = {name: len(plinth.client.run(run)["attempts"]) for name, run in chosen.items()}
    with served.matrix.timed(victim, at.D_LOADING, at.D_SERVING, at.D_RESTARTING):
        for name, run in chosen.items():
            kill(plinth.pid_of(f"{run}.0.{newest[name]}", who))
        for name, run in chosen.items():
            served.wait_for_loading(run, newest[name] + 1)
        served.wait_for_answer("serving")
        wait_until_tidy(plinth)


def test_all_of_them_serve_in_the_end_and_no_attempt_overlapped(
    served: Served, runs: dict[str, str]
) -> None:
    plinth = served.plinth
    for name in ("loading", "restarting"):
        served.touch(runs[name], "go")
    for name in ("loading", "serving", "restarting"):
        served.wait_until_serving(name, runs[name])
        attempts = plinth.client.run(runs[name])["attempts"]
        assert [a["number"] for a in attempts] == list(range(1, len(attempts) + 1))
        ends = [a["ended_at"] for a in attempts[:-1]]
        begins = [a["started_at"] for a in attempts[1:]]
        assert all(end <= begin for end, begin in zip(ends, begins, strict=True)), attempts
    plinth.client.delete_endpoint("starting")

    def is_gone() -> bool:
        try:
            plinth.client.endpoint("starting")
        except NotFound:
            return True
        return False

    wait_for(is_gone, "the one that was never built being forgotten")
    wait_until_tidy(plinth)


def test_every_cell_of_these_points_was_tried(served: Served) -> None:
    print(f"\n{served.matrix.table(POINTS)}")
    assert served.matrix.missing(POINTS) == []
