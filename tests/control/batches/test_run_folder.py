"""What a run left is read without following a link that its model may have planted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plinth.control.batches.run_folder import list_inside, open_inside, read_inside
from plinth.kit.errors import NotFound


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "output").mkdir(parents=True)
    (folder / "output" / "part").write_text("rows")
    (tmp_path / "secret").write_text('{"of": "another"}')
    return folder


def test_a_plain_file_is_read(work: Path) -> None:
    with open_inside(work, "output", "part") as stream:
        assert stream.read() == b"rows"
    assert list_inside(work, "output") == ["part"]


def test_a_link_at_the_end_or_on_the_way_is_no_file(work: Path, tmp_path: Path) -> None:
    (work / "link").symlink_to(tmp_path / "secret")
    (work / "way").symlink_to(tmp_path)
    for names in (("link",), ("way", "secret"), ("absent",), ("output",)):
        with pytest.raises(NotFound), open_inside(work, *names):
            pass
    assert read_inside(work, "link") is None
    assert list_inside(work, "way") == []
    assert "link" not in list_inside(work)


def test_a_pipe_keeps_nobody_waiting(work: Path) -> None:
    os.mkfifo(work / "pipe")
    with pytest.raises(NotFound), open_inside(work, "pipe"):
        pass


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_what_is_no_object_is_nothing(work: Path, text: str) -> None:
    (work / "progress.json").write_text(text)
    assert read_inside(work, "progress.json") is None
