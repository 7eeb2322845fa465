"""Data files say where they are from, and a broken one is refused."""

from __future__ import annotations

import gzip
from datetime import date

import pytest

from plinth.catalog.table import Source, read_region_sets, read_table
from plinth.kit.errors import Invalid

HEAD = "# name: list\n# source: a list, page 3\n# date: 2026-08-21\n# licence: MIT\n"
COLUMNS = ("a", "b")


def test_rows_come_with_source_day_and_licence() -> None:
    table = read_table(f'{HEAD}a,b\n1,"x, y"\n'.encode(), "f.csv", COLUMNS)
    assert table.rows == [["1", "x, y"]]
    assert table.source == Source("list", "a list, page 3", date(2026, 8, 21), "MIT")
    assert str(table.source) == "list 2026-08-21"


def test_a_compressed_file_is_the_same_file() -> None:
    content = f"{HEAD}a,b\n1,2\n".encode()
    plain = read_table(content, "f.csv", COLUMNS)
    assert read_table(gzip.compress(content), "f.csv.gz", COLUMNS) == plain


@pytest.mark.parametrize("key", ["name", "source", "date", "licence"])
def test_a_file_that_does_not_say_where_it_is_from_is_refused(key: str) -> None:
    lines = [line for line in HEAD.splitlines() if not line.startswith(f"# {key}")]
    content = "\n".join([*lines, "a,b", "1,2"])
    with pytest.raises(Invalid, match=f"f.csv: `# {key}: ...` is missing"):
        read_table(content.encode(), "f.csv", COLUMNS)


def test_other_columns_are_refused() -> None:
    with pytest.raises(Invalid, match="the columns are a, c, not a, b"):
        read_table(f"{HEAD}a,c\n".encode(), "f.csv", COLUMNS)


def test_a_short_row_is_refused_with_its_line() -> None:
    with pytest.raises(Invalid, match=r"f\.csv:7: 1 values for 2 columns"):
        read_table(f"{HEAD}a,b\n1,2\n3\n".encode(), "f.csv", COLUMNS)


def test_no_number_of_a_set_is_no_region() -> None:
    sets = read_region_sets(f"{HEAD}set,regions\n1,x|y\n".encode(), "s.csv")
    assert sets == {"": frozenset(), "1": frozenset({"x", "y"})}


def test_an_imported_source_names_its_file_and_day() -> None:
    source = Source("ours.csv", "portal", date(2026, 11, 1), "", "ours.csv", date(2026, 11, 22))
    assert source.is_override
    assert str(source) == "ours.csv 2026-11-01, imported 2026-11-22"
    assert source.to_json()["imported"] == "2026-11-22"
    assert source.to_json()["licence"] is None
