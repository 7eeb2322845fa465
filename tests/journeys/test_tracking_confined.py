"""MLflow works as the confined unit that Plinth runs it as: a real agent and a real MLflow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plinth.control.tracking import UNIT, mlflow_unit
from plinth.kit.errors import Temporary
from plinth.kit.files import make_private
from plinth.kit.home import DEFAULT_PORT
from plinth.tracking.mlflow import Tracking
from plinth.tracking.server import temporary_folder
from plinth.units import processes
from plinth.units.isolation import best_level
from plinth.units.isolation.confine import FILES
from tests.journeys.mlflow_server import READY_WITHIN_S, as_team, mlflow_python
from tests.units.node import Node, running_node, wait_for

# Asked before anybody listens, httpcore leaves the socket to the collector, which closes it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
BEST = best_level()
API = "/api/2.0/mlflow"
FILES_API = "/api/2.0/mlflow-artifacts/artifacts"
LARGE = b"weights!" * 2_000_000


@pytest.fixture(params=range(FILES, max(BEST, FILES) + 1), ids="level {}".format)
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    if request.param > BEST:
        pytest.skip(f"this machine offers isolation level {BEST}; limits on files begin at 2")
    with running_node(request.param) as node:
        python = mlflow_python()
        make_private(temporary_folder(node.home))
        node.client.start(mlflow_unit(node.home, python.parent.parent, python, DEFAULT_PORT))
        with Tracking(node.home.socket(UNIT)) as tracking:

            def is_ready() -> bool:
                assert node.state(UNIT).restarts == 0, node.log(UNIT)[-4000:]
                try:
                    tracking.ready()
                except Temporary:
                    return False
                return True

            wait_for(is_ready, "MLflow's answer", READY_WITHIN_S)
            tracking.ensure_workspace("research")
        yield node


def test_runs_files_and_models_work_behind_the_confinement(node: Node) -> None:
    with Tracking(node.home.socket(UNIT)) as tracking:
        run = tracking.ensure_run("research", "train", "r_1", {"plinth.team": "research"})
    with as_team(node.home, "research") as client:
        found = client.get(f"{API}/runs/get", params={"run_id": run}).json()
        root = str(found["run"]["info"]["artifact_uri"])
        where = f"{FILES_API}/{root.removeprefix('mlflow-artifacts:/')}"
        client.put(f"{where}/data/weights", content=LARGE).raise_for_status()
        assert client.get(f"{where}/data/weights").content == LARGE
        listed = client.get(f"{API}/artifacts/list", params={"run_id": run, "path": "data"})
        assert listed.json()["files"][0]["file_size"] == len(LARGE)
        metric = {"run_id": run, "key": "loss", "value": 0.5, "timestamp": 1, "step": 0}
        client.post(f"{API}/runs/log-metric", json=metric).raise_for_status()
        client.post(f"{API}/registered-models/create", json={"name": "m"}).raise_for_status()
        version = {"name": "m", "source": root, "run_id": run}
        client.post(f"{API}/model-versions/create", json=version).raise_for_status()
        client.delete(f"{where}/data/weights").raise_for_status()
    left = [path.name for path in temporary_folder(node.home).iterdir()]
    # MLflow keeps the lock under which it made its database.
    assert [name for name in left if not name.startswith("db_init_lock")] == []
    state = node.state(UNIT)
    assert (state.phase, state.restarts, state.isolation) == ("running", 0, node.isolation)
    assert "Traceback" not in node.log(UNIT)


def test_it_works_on_after_it_was_killed(node: Node) -> None:
    processes.send(node.main(UNIT), 9)
    wait_for(lambda: node.state(UNIT).restarts == 1, "the restart")
    with Tracking(node.home.socket(UNIT)) as tracking:

        def has_run() -> bool:
            try:
                return bool(tracking.ensure_run("research", "train", "r_2", {}))
            except Temporary:
                return False

        wait_for(has_run, "MLflow's answer", READY_WITHIN_S)
