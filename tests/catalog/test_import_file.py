"""The form of a file to import: YAML or CSV, each cell with its line."""

from __future__ import annotations

import pytest

from plinth.catalog.import_file import MOST_BYTES, MOST_ROWS, read_file

YAML = b"""kind: prices
source: portal
date: 2026-11-01
rows:
  - sku: D4s_v5
    amount: 0.10
    spot: true
    none:
  - {sku: D8s_v5}
"""


def mistakes(content: bytes, file: str = "f.csv") -> list[str]:
    return [str(each) for each in read_file(content, file).mistakes]


def test_yaml_keeps_values_as_they_are_written_and_their_lines() -> None:
    raw = read_file(YAML, "f.yaml")
    assert not raw.mistakes
    assert {name: cell.text for name, cell in raw.header.items()} == {
        "kind": "prices",
        "source": "portal",
        "date": "2026-11-01",
    }
    first, second = raw.rows
    assert {name: cell.text for name, cell in first.cells.items()} == {
        "sku": "D4s_v5",
        "amount": "0.10",
        "spot": "true",
    }
    assert (first.cells["amount"].line, first.cells["amount"].field) == (6, "rows[0].amount")
    assert second.line == 9


def test_csv_has_its_header_above_the_columns_and_skips_empty_cells_and_rows() -> None:
    lines = (
        "# kind: prices",
        "#source: a, b",
        "# a remark",
        "",
        "sku,tier",
        '"D4s",',
        ",",
        "X,spot",
    )
    raw = read_file("\r\n".join(lines).encode(), "F.CSV")
    assert {name: cell.text for name, cell in raw.header.items()} == {
        "kind": "prices",
        "source": "a, b",
    }
    assert [dict(row.cells).keys() for row in raw.rows] == [{"sku"}, {"sku", "tier"}]
    assert [row.line for row in raw.rows] == [6, 8]


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    raw = read_file("\ufeffsku\nD4s_v5\n".encode(), "f.csv")
    assert raw.rows[0].cells["sku"].text == "D4s_v5"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "f.csv:1: the file has no rows"),
        (b"a,b\n", "f.csv:1: the file has no rows"),
        (b"a,b\n1,2,3\n", "f.csv:2: 3 values for 2 columns"),
        (b"a,a\n1,2\n", "f.csv:1: a: this column stands twice"),
        (b'a\n"x\n', "f.csv:2: this is not CSV: unexpected end of data"),
        (b"a\n\xff\n", "f.csv:2: the byte 0xff is not UTF-8"),
    ],
)
def test_what_is_no_table_is_told_with_its_line(content: bytes, said: str) -> None:
    assert said in mistakes(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[1]", "a file holds the fields kind, source, date, rows"),
        (b"kind: prices\n", "a list of rows is needed"),
        (b"rows: 3\n", "a list of rows is needed"),
        (b"rows: [3]\n", "f.yaml:1: rows[0]: a row is a mapping of columns"),
        (b"rows:\n - sku: [1]\n", "f.yaml:2: rows[0].sku: one value is needed, not several"),
        (b"kinds: x\nrows: [{a: 1}]\n", "f.yaml:1: kinds: unknown field; accepted: kind, source"),
        (b"rows: []\n", "the file has no rows"),
        (b"rows: [", "f.yaml:1"),
    ],
)
def test_what_is_no_yaml_of_rows_is_told(content: bytes, said: str) -> None:
    assert any(said in each for each in mistakes(content, "f.yaml"))


def test_a_file_that_is_too_large_is_not_read() -> None:
    assert "at most 5,000,000" in mistakes(b"x" * (MOST_BYTES + 1))[0]
    assert "at most 20,000" in mistakes(b"a\n" + b"1\n" * (MOST_ROWS + 1))[0]
