"""The main job, as a newcomer sees it: the demo's own program, then what the README tells to type.

A journey because it is the promise of the first page: real data to a served model, by real
commands. Fewer requests than in `make demo`, as each is 15 ms of the model's own time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.plinth_node import running_plinth
from tools.documents import read_commands

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "flights"
LEFT_OUT = "left out: its packages cannot be installed here: "
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


def needs_chat(words: tuple[str, ...]) -> bool:
    """Tell whether a command is of the chat model, or of the flow that asks it."""
    marks = ("smollm2", "/chat/", "/flow/")
    return words[1] == "flow" or any(mark in each for each in words for mark in marks)


def tokens_told(printed: str) -> tuple[int, int]:
    """Return the tokens that the chat's client was told of, in and out."""
    found = re.search(r"^7 answers; tokens: (\d+) in, (\d+) out$", printed, re.MULTILINE)
    assert found, printed
    return int(found[1]), int(found[2])


@pytest.mark.journey(timeout_s=800)
def test_the_demo_and_the_readme_do_what_they_say(
    managed_environments: Path, free_port: Callable[[], int]
) -> None:
    with running_plinth(managed_environments, free_port()) as plinth:
        variables = {**os.environ, "PLINTH_HOME": str(plinth.home.root)}

        def run(
            *command: str | Path, folder: Path = ROOT, **more: str
        ) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                env=variables | more,
                cwd=folder,
                check=False,
            )

        demo = run(sys.executable, DEMO / "demo.py", "--requests", "200")
        assert demo.returncode == 0, demo.stdout + demo.stderr
        assert "200 of 200 answers match the model's own" in demo.stdout
        assert "models:/flights-delay@champion is version 1" in demo.stdout
        again = run(sys.executable, DEMO / "demo.py", "--requests", "20")
        assert again.returncode == 0, again.stdout + again.stderr
        assert "version 1 was trained before and is used again" in again.stdout
        used = {row["workload"]: row for row in plinth.client.usage() if row["team"] == "ops"}
        assert used["endpoint/flights-delay"]["requests"] == 220
        assert "336,776" in demo.stdout.partition("==> 7.")[2].partition("==> 8.")[0]
        has_chat = LEFT_OUT not in demo.stdout
        if has_chat:
            assert "Rome" in demo.stdout
            assert '"answer": "The capital of France is Paris' in demo.stdout
            assert "version 1 was registered before and is used again" in again.stdout
            told = [tokens_told(demo.stdout), tokens_told(again.stdout)]
            chat = used["endpoint/smollm2"]
            counted = (chat["requests"], chat["input_tokens"], chat["output_tokens"])
            assert counted == (14, *(sum(both) for both in zip(*told, strict=True)))

        # A machine that cannot get the chat model's packages: said in a line, and no failure.
        (plinth.home.root / "demo" / "chat-client" / "ready").unlink(missing_ok=True)
        nowhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/", "UV_HTTP_RETRIES": "0"}
        without = run(
            *(sys.executable, "-c", "from chat import chat; chat()"), folder=DEMO, **nowhere
        )
        assert without.returncode == 0, without.stderr
        (line,) = without.stdout.splitlines()
        assert LEFT_OUT in line
        assert "127.0.0.1:9" in line

        folder = Path(tempfile.mkdtemp(prefix="pl-"))
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "broken.yaml").write_text(BROKEN)
        for words in readme_commands():
            if needs_chat(words) and not has_chat:
                continue
            typed = [word.replace("~/.plinth", str(plinth.home.root)) for word in words[1:]]
            done = run(Path(sys.executable).with_name("plinth"), *typed, folder=folder)
            expected = FAILING.get(words[1:3])
            assert done.returncode == (1 if expected else 0), (words, done.stderr)
            assert (expected or "") in done.stderr
