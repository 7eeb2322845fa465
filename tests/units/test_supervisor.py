"""The end of a unit is written however long the disk refuses it."""

from __future__ import annotations

from pathlib import Path

from plinth.units.folder import UnitFolder, claim
from plinth.units.spec import UnitSpec
from plinth.units.supervisor import write_exit_at_last

ENDED = {"phase": "exited", "code": 0}


def unit(root: Path) -> UnitFolder:
    assert claim(root, UnitSpec(id="a", argv=("true",), env={}, cwd="/"))
    return UnitFolder(root / "a")


def test_the_end_is_tried_again_until_the_disk_takes_it(tmp_path: Path) -> None:
    folder = unit(tmp_path)
    obstacle = folder.path / "exit.draft"
    obstacle.mkdir()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            obstacle.rmdir()

    write_exit_at_last(folder, ENDED, wait)
    assert folder.exit() == ENDED
    assert waits == [1.0, 1.0, 1.0]


def test_nobody_waits_for_a_folder_that_is_gone(tmp_path: Path) -> None:
    folder = unit(tmp_path)
    folder.remove()
    write_exit_at_last(folder, ENDED, lambda _: None)
    assert not folder.path.exists()
