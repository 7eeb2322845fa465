"""A log can be read from any offset, and its oldest part can be given back."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.units import logs


def test_a_log_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"hello world")
    assert logs.read(path, 0, 5) == (b"hello", 5)
    assert logs.read(path, 5, 100) == (b" world", 11)
    assert logs.read(path, 11, 100) == (b"", 11)


def test_a_missing_log_is_empty(tmp_path: Path) -> None:
    assert logs.read(tmp_path / "log", 7, 100) == (b"", 7)


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 10_000)
    assert not logs.trim(path, cap=20_000, keep=4096)
    assert not logs.trim(tmp_path / "missing")


def test_trimming_frees_the_oldest_part_and_moves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    content = b"".join(b"%07d\n" % number for number in range(100_000))
    path.write_bytes(content)
    try:
        assert logs.trim(path, cap=400_000, keep=200_000)
    except OSError as err:
        pytest.skip(f"this file system has no holes: {err}")
    with path.open("ab") as log:
        log.write(b"the end\n")
    assert path.stat().st_blocks * 512 < 400_000
    found, following = logs.read(path, 0, 1_000_000)
    assert found == (content + b"the end\n")[-len(found) :]
    assert len(found) >= 200_000
    assert following == len(content) + 8


def test_the_end_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes("eins\nzwölf\ndrei\n".encode())
    size = path.stat().st_size
    for offset in (-9, -8, -7):  # Within the letter of two bytes, too.
        assert logs.read(path, offset, 100) == (b"drei\n", size)
    assert logs.read(path, -100, 5) == (b"eins\n", 5)
    path.write_bytes(b"no line at all")
    assert logs.read(path, -4, 100) == (b" all", 14)
    assert logs.read(tmp_path / "missing", -4, 100) == (b"", 0)


def test_a_place_that_no_file_reaches_to_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"hello")
    for offset in (2**63 - 1, 2**63, 2**80):
        assert logs.read(path, offset, 100) == (b"", offset)
