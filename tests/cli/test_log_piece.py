"""A piece of a log is printed from a line's start, and what is missing before it is said."""

from __future__ import annotations

import pytest

from plinth.cli import log_piece
from plinth.cli.log_piece import print_piece
from plinth.units.logs import KEEP_BYTES


def test_what_is_whole_is_printed_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    print_piece(b"half a line\nand", 5, 20)
    assert capfd.readouterr() == ("half a line\nand", "")


def test_what_is_gone_is_said_and_the_rest_begins_with_a_line(
    capfd: pytest.CaptureFixture[str],
) -> None:
    print_piece(b"lf\ntwo\n", 0, 5_000_004)
    out, err = capfd.readouterr()
    assert out == "two\n"
    assert err == (
        "note: 5.0 MB before this are not kept: of a long log only the end is, at least 33.6 MB\n"
    )


def test_one_endless_line_is_printed_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    print_piece(b"xxxx", 0, 2004)
    out, err = capfd.readouterr()
    assert out == "xxxx"
    assert "2 kB before this are not kept" in err


def test_nothing_new_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    print_piece(b"", 7, 7)
    assert capfd.readouterr() == ("", "")


def test_the_number_is_the_node_agents() -> None:
    assert log_piece.KEPT_BYTES == KEEP_BYTES
