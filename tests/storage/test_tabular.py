"""A data file is what its ending says, or the person is told why not."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from plinth.domain.model import Column
from plinth.kit.errors import Invalid
from plinth.storage.tabular import inspect


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "flights.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "copy (select range as id, 'JFK' as origin, range / 2 as delay from range(20000)) "
            f"to '{path}' (format parquet, compression zstd)"
        )
    return path


def test_parquet_keeps_its_types(parquet: Path) -> None:
    table = inspect(parquet)
    assert table.rows == 20_000
    assert table.columns == (
        Column(name="id", type="BIGINT"),
        Column(name="origin", type="VARCHAR"),
        Column(name="delay", type="DOUBLE"),
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"x,y\n1,a\n2,b\n"),
        ("a.jsonl", b'{"x": 1, "y": "a"}\n{"x": 2, "y": "b"}\n'),
    ],
)
def test_text_files_have_rows_and_columns(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    table = inspect(tmp_path / name)
    assert table.rows == 2
    assert [column.name for column in table.columns] == ["x", "y"]


def test_the_ending_may_come_from_the_original_name(parquet: Path, tmp_path: Path) -> None:
    stored = parquet.rename(tmp_path / "upload")
    assert inspect(stored, file_name="flights.parquet").rows == 20_000


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"x", "no data file that Plinth can read"),
        ("a.parquet", b"", "is empty"),
        ("a.parquet", b"PAR1 this is not", "cannot be read as parquet"),
        ("a.csv", b"x,y\n1,2\n3\n4,5,6,7\n", "cannot be read as csv"),
        ("a.csv", b"\x00\x01\x02", "column named"),
        ("a.jsonl", b'{"x": 1}\n{"x":', "cannot be read as jsonl"),
        ("a.jsonl", b"hello\n", "cannot be read as jsonl"),
    ],
)
def test_wrong_content_is_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Invalid, match=reason) as caught:
        inspect(tmp_path / name)
    assert str(tmp_path) not in caught.value.message


def test_a_damaged_page_header_is_found(parquet: Path) -> None:
    content = bytearray(parquet.read_bytes())
    content[4:60] = b"\xff" * 56
    parquet.write_bytes(content)
    with pytest.raises(Invalid, match="cannot be read"):
        inspect(parquet)


def test_a_truncated_file_is_found(parquet: Path) -> None:
    parquet.write_bytes(parquet.read_bytes()[:-100])
    with pytest.raises(Invalid, match="cannot be read"):
        inspect(parquet)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="not a file"):
        inspect(tmp_path / "absent.csv")
