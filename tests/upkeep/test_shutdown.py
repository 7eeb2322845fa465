"""What can be told of the node's end without starting one; tests/journeys start one."""

from __future__ import annotations

from pathlib import Path

from plinth.kit.files import locked
from plinth.kit.home import Home
from plinth.upkeep.shutdown import down, passed_variables, status


def test_no_secret_of_the_shell_reaches_the_nodes_processes() -> None:
    shell = {
        "PATH": "/bin",
        "HOME": "/home/ann",
        "UV_DEFAULT_INDEX": "https://packages.example",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "GITHUB_TOKEN": "t0ken",
        "PLINTH_KEY": "plk_x",
        "PYTHONPATH": "/elsewhere",
        "VIRTUAL_ENV": "/venv",
    }
    assert passed_variables(shell) == {
        "PATH": "/bin",
        "HOME": "/home/ann",
        "UV_DEFAULT_INDEX": "https://packages.example",
        "PYTHONUNBUFFERED": "1",
    }


def test_the_status_of_a_node_whose_agent_died_names_what_lives(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (home.units / "envoy").mkdir(parents=True)
    with locked(home.units / "envoy" / "lock"):
        assert status(home) == {"node": None, "units": [], "started": False, "living": ["envoy"]}


def test_stopping_what_does_not_run_is_success(tmp_path: Path) -> None:
    assert down(Home(tmp_path)) == {"stopped": 0}
