"""What becomes of a row of a batch depends on the row alone, in files of all kinds and faults."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uv

from plinth.environments import BuiltEnvironment, Environments, EnvironmentSpec, this_python
from plinth.runtimes import runtime
from plinth.runtimes.batch import load_batch_packages
from tests.journeys.package_index import build_or_skip

SCRIPT = Path(__file__).with_name("batch_readings.py")
SOURCES = Path(runtime.__file__).parent
SIZES = ("1", "2", "3", "100")
PARQUET = """
import datetime, sys
import pyarrow as pa, pyarrow.parquet as pq
folder = sys.argv[1]
def put(name, columns, names=None):
    table = pa.Table.from_arrays([pa.array(each) for each in columns], names)
    pq.write_table(table, f"{folder}/{name}.parquet")
put("twice", [[1.0], [2.0]], ["x", "x"])
put("other-twice", [[1.0], [2.0], [3.0]], ["x", "y", "y"])
put("views", [pa.array(["1", "b"], pa.string_view())], ["x"])
raw = pa.array([b"a", b"\\xff", b"b", None], pa.binary())
text = pa.StringArray.from_buffers(4, *raw.buffers()[1:3], raw.buffers()[0])
put("bytes", [pa.array([1.0, 2.0, 3.0, 4.0]), text], ["x", "k"])
put("k1", [[1.0, 2.0], [5, None]], ["x", "k"])
put("k2", [[1.0, 2.0, 3.0], ["6", "b", None]], ["x", "k"])
put("k3", [[1.0], [datetime.date(2026, 1, 2)]], ["x", "k"])
put("times", [[datetime.datetime(2026, 1, 2)]], ["x"])
"""


@pytest.fixture(scope="module")
def python(managed_environments: Path) -> Path:
    """Return the interpreter of a batch's environment."""
    ours = load_batch_packages()
    packages = (*ours.answer, "pandas", "mlflow-skinny==3.17.2")
    environments = Environments(managed_environments, uv.find_uv_bin())
    built: BuiltEnvironment = build_or_skip(environments, EnvironmentSpec(packages, this_python()))
    return built.python


Reads = Callable[..., dict[str, Any]]


@pytest.fixture
def reads(python: Path, tmp_path: Path) -> Reads:
    """Return what reads files for one type of `x`, and tells what became of their rows."""

    def read(
        files: dict[str, bytes], kind: str = "double", *, width: int | None = None, **more: Any
    ) -> dict[str, Any]:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        columns = [] if width else [{"name": "x", "type": kind, "required": True}]
        signature = json.dumps({"columns": columns, "width": width})
        keep = json.dumps(more.get("keep", []))
        command = [python, SCRIPT, SOURCES, tmp_path, signature, keep, *SIZES]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = {}
        for name, by_size in json.loads(done.stdout).items():
            assert all(each == by_size["1"] for each in by_size.values()), (name, by_size)
            found[name] = by_size["1"]
        return found

    return read


def lines(*values: Any) -> bytes:
    return b"".join(b'{"x": %s}\n' % str(value).encode() for value in values)


def test_a_number_of_json_is_read_as_it_stands_beside_whatever(reads: Reads) -> None:
    big = 9007199254740993
    files = {
        "a.jsonl": lines(1, 1.5, '"2"', "true", "[1]", "null", big, 10**30, 10**400, '"b"'),
        "b.jsonl": lines(1, 2, 3),
        "c.jsonl": b'{"x": 1, "z": "\\ud800"}\n' + lines("[" * 100_000) + lines(4),
    }
    found = reads(files)
    first = [row["x"] if isinstance(row, dict) else row for row in found["a.jsonl"]]
    assert first[:3] == ["1.0", "1.5", "2.0"]
    assert first[3:6] == [
        "error: `x`: `true` is not a number",
        "error: `x`: `[1]` is not a number",
        "error: `x` has no value, and the model's signature allows no missing one",
    ]
    assert first[6:8] == [str(float(big)), "1e+30"]
    assert first[8] == f"error: `x`: `1{'0' * 39}...` is not a number"
    assert first[9] == "error: `x`: `b` is not a number"
    assert found["b.jsonl"] == [{"x": "1.0"}, {"x": "2.0"}, {"x": "3.0"}]
    assert found["c.jsonl"] == [{"x": "1.0"}, "error: is nested too deeply", {"x": "4.0"}]
    whole = reads(files, "long")["a.jsonl"]
    assert whole[6] == {"x": str(big)}
    assert whole[3] == "error: `x`: `true` is not a whole number"
    assert whole[1] == "error: `x`: `1.5` is not a whole number"


def test_a_number_that_is_too_large_for_its_type_is_none(reads: Reads) -> None:
    files = {"a.jsonl": lines("1e300", 1.5, "Infinity"), "b.csv": b"x\n1e300\n2\ninf\n"}
    found = reads({**files, "c.parquet": b""}, "float")
    assert found["a.jsonl"] == ["error: `x`: `1e+300` is not a number", {"x": "1.5"}, {"x": "inf"}]
    assert found["b.csv"] == ["error: `x`: `1e300` is not a number", {"x": "2.0"}, {"x": "inf"}]
    assert "`c.parquet` cannot be read" in found["c.parquet"]


def test_a_text_of_json_is_a_text_and_nothing_else_is(reads: Reads) -> None:
    files = {"a.jsonl": lines('"3"', 3, "[1]", '"\\ud800"', '""')}
    assert reads(files, "string")["a.jsonl"] == [
        {"x": "3"},
        "error: `x`: `3` is not a text",
        "error: `x`: `[1]` is not a text",
        'error: `x`: `"\\ud800"` is not a text',
        {"x": ""},
    ]


def test_numbers_are_no_times_and_times_no_numbers(reads: Reads, python: Path) -> None:
    files = {"a.jsonl": lines(1700000000, '"2026-01-31T12:30:00"', 5)}
    found = reads(files, "datetime")["a.jsonl"]
    assert found[0].startswith("error: `x`: `1700000000` is not a time")
    assert found[1] == {"x": "2026-01-31 12:30:00"}
    zones = b"x\n2026-01-31T12:30:00Z\n2026-01-31T12:30:00\n2026-01-31T12:30:00+01:00\n1\n"
    by_zone = reads({"a.csv": zones}, "datetime")["a.csv"]
    assert [row["x"][11:13] for row in by_zone[:3]] == ["12", "12", "11"]
    assert by_zone[3].startswith("error: `x`: `1` is not a time")
    assert reads(files, "boolean")["a.jsonl"][2] == "error: `x`: `5` is not true or false"


def test_parquet_of_other_types_is_refused_by_row_or_by_name(
    reads: Reads, python: Path, tmp_path: Path
) -> None:
    subprocess.run([python, "-c", PARQUET, str(tmp_path)], check=True)
    for name in ("bytes", "k1", "k2", "k3"):
        (tmp_path / f"{name}.parquet").unlink()
    found = reads({})
    assert found == {
        "twice.parquet": "`twice.parquet` has `x` more than once as the name of a column",
        "other-twice.parquet": [{"x": "1.0"}],
        "views.parquet": [{"x": "1.0"}, "error: `x`: `b` is not a number"],
        "times.parquet": ["error: `x`: `2026-01-02 00:00:00` is not a number"],
    }
    assert reads({}, "long")["times.parquet"][0].endswith("is not a whole number")
    assert reads({}, "string")["views.parquet"] == [{"x": "1"}, {"x": "b"}]


def test_a_column_that_is_kept_has_one_type_wherever_it_is_read(reads: Reads) -> None:
    rows = b'{"x": 1, "k": 7}\n{"x": 2}\n{"x": 3, "k": "a"}\n{"x": 4, "k": [1]}\n'
    rows += b'{"x": 5, "k": "\\ud800"}\n'
    found = reads({"a.jsonl": rows}, keep=["k"])["a.jsonl"]
    assert [row["k"] for row in found] == ["7", None, "a", "[1]", '"\\ud800"']


def test_a_matrix_is_of_the_names_in_the_first_row_in_its_order(reads: Reads) -> None:
    rows = b'{"b": 1, "a": 2}\n{"a": 4, "b": 3}\n{"a": 5}\n{"a": 6, "b": 7, "c": 8}\n'
    found = reads({"a.jsonl": rows}, width=2)["a.jsonl"]
    assert [list(row.items()) for row in found[:2]] == [
        [("b", "1.0"), ("a", "2.0")],
        [("b", "3.0"), ("a", "4.0")],
    ]
    assert all(row.startswith("error: has other names than the file's") for row in found[2:])


def test_quotes_of_csv_that_stand_wrong_count_for_their_row_alone(reads: Reads) -> None:
    found = reads(
        {
            "a.csv": b'x,said\n1,"a"\n2,"b"x\n3,c\n4,d,e\n5,"f ""g"""\n6,h"i\n7,"j\nk"\n8\r9,l\n',
            "b.csv": b'x,said\n1,a\n2,b\n3,"c\n4,d\n',
            "c.csv": b"x,said\r1,a\r2,b\r",
            "d.csv": b"x,said\r\n1,a\r\n\r\n2,b\r\n",
            "e.csv": b"x,y,y\n1,2,3\n",
            "f.csv": b"x,x\n1,2\n",
        }
    )
    first = [row["x"] if isinstance(row, dict) else "error" for row in found["a.csv"]]
    assert first == ["1.0", "error", "3.0", "error", "5.0", "6.0", "7.0", "error"]
    assert found["b.csv"] == (
        "`b.csv` cannot be read: the row of line 4 opens a quote that is never closed"
    )
    assert "its lines end with CR alone" in found["c.csv"]
    assert found["d.csv"] == [{"x": "1.0"}, {"x": "2.0"}]
    assert found["e.csv"] == [{"x": "1.0"}]
    assert found["f.csv"] == "`f.csv` has `x` more than once as the name of a column"


def test_what_is_no_line_of_csv_to_all_programs_is_set_aside_and_never_lost(reads: Reads) -> None:
    found = reads(
        {
            "a.csv": b"x,said\n1,a\n2,b\r3,c\n4,d\n",
            "b.csv": b"x,said\n1,a\xff\n2,b,c\n3,d\n\xff4,e\n",
            "c.csv": b'\xef\xbb\xbf"x\ny",x\n1,2\n',
            "d.csv": b"   \n\r\nx,said\n1,a\n  \r\n2,b\r\n \n",
            "e.csv": b"\xef\xbb\xbf\nx\n1\n",
            "f.csv": b'x,said\n1,a\n\xef\xbb\xbf"2",b\n3,c\n',
        }
    )
    assert found["a.csv"] == [
        {"x": "1.0"},
        "error: not a row of CSV: a CR stands alone in it; lines must end with LF, or CR and LF",
        {"x": "4.0"},
    ]
    assert found["b.csv"] == [
        {"x": "1.0"},
        "error: has 3 values, the header has 2",
        {"x": "3.0"},
        "error: `x` is not UTF-8",
    ]
    assert found["c.csv"] == [{"x": "2.0"}]
    assert found["d.csv"] == [{"x": "1.0"}, {"x": "2.0"}]
    assert found["e.csv"] == [{"x": "1.0"}]
    assert [type(row) for row in found["f.csv"]] == [dict, str, dict]


def test_a_text_of_parquet_that_is_none_is_set_aside_alone(
    reads: Reads, python: Path, tmp_path: Path
) -> None:
    subprocess.run([python, "-c", PARQUET, str(tmp_path)], check=True)
    found = reads({}, keep=["k"])
    assert found["bytes.parquet"] == [
        {"x": "1.0", "k": "a"},
        "error: `k` is not UTF-8",
        {"x": "3.0", "k": "b"},
        {"x": "4.0", "k": None},
    ]
    assert reads({})["bytes.parquet"] == [{"x": f"{number}.0"} for number in (1, 2, 3, 4)]


def test_what_is_kept_has_the_type_of_the_first_file_that_has_it(
    reads: Reads, python: Path, tmp_path: Path
) -> None:
    subprocess.run([python, "-c", PARQUET, str(tmp_path)], check=True)
    first = {"a.csv": b"x,other\n1,2\n", "z.csv": b"x,k\n1,7\n2,8.5\n"}
    # `bytes` comes before the others, and its `k` is a text.
    (tmp_path / "bytes.parquet").unlink()
    found = reads(first, keep=["k"])
    assert found["k1.parquet"] == [{"x": "1.0", "k": 5}, {"x": "2.0", "k": None}]
    assert found["k2.parquet"] == [
        {"x": "1.0", "k": 6},
        "error: `k`: `b` is string and not int64, as in the first file that has `k`",
        {"x": "3.0", "k": None},
    ]
    (one,) = found["k3.parquet"]
    assert one.startswith("error: `k`: `2026-01-02` is date32[day] and not int64")
    assert found["z.csv"][0] == {"x": "1.0", "k": 7}
    assert found["z.csv"][1].startswith("error: `k`: `8.5` is string and not int64")
    (tmp_path / "k1.parquet").unlink()
    assert [row["k"] for row in reads({}, keep=["k"])["k2.parquet"]] == ["6", "b", None]
