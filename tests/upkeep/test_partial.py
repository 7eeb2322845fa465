"""What is half made has its own place, and a kill leaves nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plinth.kit.errors import Conflict
from plinth.upkeep.partial import partial_folder


def test_it_is_private_empty_and_gone_afterwards(tmp_path: Path) -> None:
    with partial_folder(tmp_path / "x.tar") as folder:
        assert folder == tmp_path / "x.tar.partial"
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "half").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with partial_folder(tmp_path / "x") as folder:
            (folder / "half").mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from plinth.upkeep.partial import partial_folder\n"
        "with partial_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').mkdir(); (folder / 'half' / 'x').touch(); (folder / 'y').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], check=False)
    assert (tmp_path / "x.partial" / "half" / "x").exists()
    with partial_folder(tmp_path / "x") as folder:
        assert not (folder / "half").exists()
        assert not (folder / "y").exists()
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with partial_folder(tmp_path / "x") as folder:
        (folder / "half").write_text("x")
        with pytest.raises(Conflict, match="another process"), partial_folder(tmp_path / "x"):
            pass
        assert (folder / "half").read_text() == "x"


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x.partial").mkdir()
    (tmp_path / "x.partial" / "thesis.txt").write_text("years")
    with pytest.raises(Conflict, match="not one that Plinth made"), partial_folder(tmp_path / "x"):
        pass
    assert (tmp_path / "x.partial" / "thesis.txt").read_text() == "years"


def test_a_file_or_link_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x.partial").write_text("mine")
    with pytest.raises(Conflict, match="in the way"), partial_folder(tmp_path / "x"):
        pass
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "y.partial")
    with pytest.raises(Conflict, match="in the way"), partial_folder(tmp_path / "y"):
        pass
    assert (tmp_path / "x.partial").read_text() == "mine"
