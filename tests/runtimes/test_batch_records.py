"""Rows of text files are told apart as they stand, with quotes, empty lines and broken ends."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.runtimes.batchrunner import records
from plinth.runtimes.batchrunner.records import (
    Unreadable,
    csv_records,
    index_records,
    json_records,
)


def of_csv(content: bytes) -> list[bytes]:
    return list(csv_records(io.BytesIO(content)))


def test_a_line_break_within_quotes_belongs_to_its_field() -> None:
    found = of_csv(b'a,b\n1,"x\ny"\n2,z\n')
    assert found == [b"a,b\n", b'1,"x\ny"\n', b"2,z\n"]


def test_a_doubled_quote_closes_nothing() -> None:
    assert of_csv(b'a\n"x""\n"\ny\n') == [b"a\n", b'"x""\n"\n', b"y\n"]


def test_a_quote_within_a_bare_field_is_text() -> None:
    assert of_csv(b'a,b\n5" pipe,1\n6,2\n') == [b"a,b\n", b'5" pipe,1\n', b"6,2\n"]


def test_empty_lines_are_no_rows_and_their_bytes_are_counted() -> None:
    content = b"a\n\n1\n\r\n2"
    found = of_csv(content)
    assert [each.strip() for each in found] == [b"a", b"1", b"2"]
    assert b"".join(found) == content


def test_a_quote_that_is_never_closed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LONGEST_RECORD_BYTES", 100)
    with pytest.raises(Unreadable, match="not closed within 100 bytes"):
        of_csv(b'a\n"' + b"x\n" * 200)


def test_lines_of_json_that_are_empty_are_no_rows() -> None:
    found = list(json_records(io.BytesIO(b'\n{"a":1}\n\n{"a":2}')))
    assert [each.strip() for each in found] == [b'{"a":1}', b'{"a":2}']


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.text(alphabet='ab", \n', max_size=5), min_size=2, max_size=2), max_size=12
    ),
    size=st.integers(1, 5),
)
def test_offsets_cut_a_file_where_the_reader_of_csv_does(rows: list[list[str]], size: int) -> None:
    rows = [["x", *row] for row in rows]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([["h", "i", "j"], *rows])
    content = text.getvalue().encode()
    index = index_records(3, csv_records(io.BytesIO(content)), size, header=True)
    assert index.rows == len(rows)
    cuts = index.offsets
    pieces = [content[cuts[at] : cuts[at + 1]].decode() for at in range(len(cuts) - 1)]
    found = [row for piece in pieces for row in csv.reader(io.StringIO(piece, newline=""))]
    assert found == rows
    assert all(
        len(list(csv.reader(io.StringIO(piece, newline="")))) == size for piece in pieces[:-1]
    )
    assert not rows or cuts[-1] == len(content)


def test_a_file_with_its_header_only_has_no_rows() -> None:
    index = index_records(0, csv_records(io.BytesIO(b"a,b\n")), 5, header=True)
    assert (index.rows, index.offsets) == (0, ())
