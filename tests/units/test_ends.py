"""Every end of a unit is written once and in order, wherever its writer is killed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plinth.units import ends
from plinth.units.ends import note_end

NOTICED = datetime(2026, 1, 1, tzinfo=UTC)


def ended(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "phase": "exited",
        "code": None,
        "signal": 9,
        "stopped": False,
        "reason": "ended by SIGKILL",
        "started_at": "2026-01-01T00:00:00.000000Z",
        "ended_at": f"2026-01-01T00:00:{number:02}.000000Z",
        **changes,
    }


def noted(*paths: Path) -> list[str]:
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return [json.loads(line)["ended_at"][17:19] for line in lines]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ends"


def test_an_end_is_a_line_with_its_unit_and_the_time_it_was_noticed(file: Path) -> None:
    note_end(file, "envoy", ended(1), NOTICED)
    (line,) = file.read_text().splitlines()
    assert json.loads(line) == {
        **ended(1),
        "unit": "envoy",
        "noticed_at": "2026-01-01T00:00:00.000000Z",
    }
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_same_end_is_noted_once_also_when_it_is_noticed_again(file: Path) -> None:
    for seconds in range(3):
        note_end(file, "envoy", ended(1), NOTICED + timedelta(seconds=seconds))
    note_end(file, "envoy", ended(2), NOTICED)
    assert noted(file) == ["01", "02"]


def test_a_line_that_was_cut_short_is_written_again(file: Path) -> None:
    for number in (1, 2):
        note_end(file, "envoy", ended(number), NOTICED)
    whole = file.read_bytes()
    for length in range(len(whole.splitlines(keepends=True)[0]), len(whole)):
        file.write_bytes(whole[:length])
        note_end(file, "envoy", ended(2), NOTICED)
        assert file.read_bytes() == whole


def test_a_first_line_that_was_cut_short_is_written_again(file: Path) -> None:
    file.write_bytes(b'{"phase":"exi')
    note_end(file, "envoy", ended(1), NOTICED)
    assert noted(file) == ["01"]


def test_a_file_that_is_large_is_renamed_and_the_end_before_still_known(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "LARGEST_BYTES", 100)
    note_end(file, "envoy", ended(1), NOTICED)
    # Killed between the renaming and the line.
    file.rename(file.with_name("ends.000001"))
    note_end(file, "envoy", ended(1), NOTICED)
    assert not file.exists()
    for number in (2, 3):
        note_end(file, "envoy", ended(number), NOTICED)
    files = sorted(file.parent.iterdir())
    assert [path.name for path in files] == ["ends", "ends.000001", "ends.000002"]
    assert [noted(path) for path in files] == [["03"], ["01"], ["02"]]


def test_the_oldest_file_goes_when_there_are_many(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "LARGEST_BYTES", 100)
    monkeypatch.setattr(ends, "MOST_FILES", 3)
    for number in range(10):
        note_end(file, "envoy", ended(number), NOTICED)
    files = sorted(file.parent.iterdir())
    assert [path.name for path in files] == ["ends", "ends.000008", "ends.000009"]
    assert noted(file) == ["09"]


def test_a_long_reason_is_cut(file: Path) -> None:
    for _ in range(2):
        note_end(file, "envoy", ended(1, reason="é" * 5000), NOTICED)
    (line,) = file.read_text().splitlines()
    assert len(json.loads(line)["reason"]) == 300
