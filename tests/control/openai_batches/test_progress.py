"""How far a batch is, is read from what its process wrote; nothing there is nothing done."""

from __future__ import annotations

import pytest

from plinth.control.openai_batches.progress import Progress, folder_of, read_progress
from tests.control.plane import Plane


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"completed": "x"}', '{"other": 1}', "x" * 10_000]
)
def test_what_cannot_be_read_is_nothing(plane: Plane, content: str) -> None:
    assert read_progress(plane.context, "r_1") == Progress()
    folder = folder_of(plane.context, "r_1")
    folder.mkdir(parents=True)
    (folder / "progress.json").write_text(content)
    assert read_progress(plane.context, "r_1") == Progress()


def test_a_link_is_not_followed(plane: Plane) -> None:
    folder = folder_of(plane.context, "r_1")
    folder.mkdir(parents=True)
    (folder / "there").write_text('{"completed": 3}')
    (folder / "progress.json").symlink_to(folder / "there")
    assert read_progress(plane.context, "r_1") == Progress()


def test_it_is_said_in_a_line() -> None:
    assert Progress(completed=1200, at_once=8).words(5000) == (
        "1,200 of 5,000 requests done; up to 8 at once"
    )
    assert Progress(completed=3, failed=2, at_once=1, waits_s=12).words(9) == (
        "5 of 9 requests done, 2 with an error; a limit is reached, goes on in 12 s"
    )
