"""The main job, as a newcomer sees it: the demo's own program, then what the README tells to type.

A journey because it is the promise of the first page: real data to a served model, by real
commands. Fewer requests than in `make demo`, as each is 15 ms of the model's own time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.plinth_node import running_plinth
from tools.documents import read_commands

ROOT = Path(__file__).resolve().parents[2]
BROKEN = "kind: job\nname: x\nresources:\n  memoy: 3GB\ncommand: [python, x.py]\n"

# The README says that the demo has made the teams already.
FAILING = {
    ("teams", "add"): "exists already",
    (
        "plan",
        "broken.yaml",
    ): "broken.yaml:4: resources.memoy: unknown field; did you mean",
}


def readme_commands() -> list[tuple[str, ...]]:
    """Return what the README tells to type, but for the training, which the demo has just run."""
    found = read_commands("README.md", (ROOT / "README.md").read_text())
    return [
        command.words
        for command in found
        if command.words[0] == "plinth" and command.words[1] != "run"
    ]


@pytest.mark.journey(timeout_s=600)
def test_the_demo_and_the_readme_do_what_they_say(
    managed_environments: Path, free_port: Callable[[], int]
) -> None:
    with running_plinth(managed_environments, free_port()) as plinth:
        variables = {**os.environ, "PLINTH_HOME": str(plinth.home.root)}

        def run(*command: str | Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command, capture_output=True, text=True, env=variables, cwd=folder, check=False
            )

        demo = run(sys.executable, ROOT / "examples/flights/demo.py", "--requests", "200")
        assert demo.returncode == 0, demo.stdout + demo.stderr
        assert "200 of 200 answers match the model's own" in demo.stdout
        assert "models:/flights-delay@champion is version 1" in demo.stdout
        again = run(sys.executable, ROOT / "examples/flights/demo.py", "--requests", "20")
        assert again.returncode == 0, again.stdout + again.stderr
        assert "version 1 was trained before and is used again" in again.stdout
        used = {row["team"]: row for row in plinth.client.usage() if "endpoint" in row["workload"]}
        assert used["ops"]["requests"] == 220

        folder = Path(tempfile.mkdtemp(prefix="pl-"))
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "broken.yaml").write_text(BROKEN)
        for words in readme_commands():
            typed = [word.replace("~/.plinth", str(plinth.home.root)) for word in words[1:]]
            done = run(Path(sys.executable).with_name("plinth"), *typed, folder=folder)
            expected = FAILING.get(words[1:3])
            assert done.returncode == (1 if expected else 0), (words, done.stderr)
            assert (expected or "") in done.stderr
