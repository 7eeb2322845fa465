"""A module is imported with the collector off, and its `main` runs with it on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STARTED = """
import gc
during = gc.isenabled()

def main(arguments):
    print(during, gc.isenabled(), gc.get_freeze_count() > 0, *arguments)
    return 3
"""


def test_main_gets_the_arguments_and_its_answer_is_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "started.py").write_text(STARTED)
    command = [sys.executable, "-m", "plinth.kit.launch", "started", "--home", "x y"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (3, "False True True --home x y\n"), done.stderr
