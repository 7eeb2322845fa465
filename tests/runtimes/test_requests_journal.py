"""The journal of a batch: what stands in it is done, whatever was killed while it was written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from plinth.runtimes.requestrunner.journal import AlreadyOpen, Journal


def test_what_was_written_is_known_to_the_next_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.add(2, {"custom_id": "b"}, is_good=True)
    journal.add(1, {"custom_id": "a"}, is_good=False)
    journal.close()
    again = Journal(tmp_path / "j")
    assert (again.done, again.completed, again.failed) == ({1, 2}, 1, 1)
    again.close()


@pytest.mark.parametrize("torn", [b'{"line":3,"ok":tr', b'{"line":3,"ok":true,"result":{}}'])
def test_a_line_that_is_half_written_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    journal = Journal(tmp_path / "j")
    journal.add(1, {}, is_good=True)
    journal.close()
    whole = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(whole + torn)
    again = Journal(tmp_path / "j")
    assert again.done == {1}
    assert (tmp_path / "j").read_bytes() == whole
    again.add(3, {}, is_good=True)
    again.close()
    assert [json.loads(each)["line"] for each in (tmp_path / "j").read_text().splitlines()] == [
        1,
        3,
    ]


def test_the_first_result_of_a_line_stays(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.add(1, {"n": "first"}, is_good=True)
    journal.add(1, {"n": "second"}, is_good=False)
    journal.close()
    assert b"second" not in (tmp_path / "j").read_bytes()


def test_two_do_not_write_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    with pytest.raises(AlreadyOpen):
        Journal(tmp_path / "j")
    journal.close()
    Journal(tmp_path / "j").close()


def test_on_a_full_disk_nothing_of_a_result_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "j")
    journal.add(1, {}, is_good=True)
    before = (tmp_path / "j").read_bytes()
    real, calls = os.write, []

    def write(descriptor: int, content: bytes) -> int:
        calls.append(len(content))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(descriptor, bytes(content[:5]))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        journal.add(2, {"custom_id": "long enough"}, is_good=True)
    assert (tmp_path / "j").read_bytes() == before
    assert journal.done == {1}
    journal.close()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "j").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Journal(tmp_path / "j")
