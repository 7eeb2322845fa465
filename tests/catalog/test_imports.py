"""An import is whole or nothing, is kept, and is taken back."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from plinth.catalog.catalog import Catalog
from plinth.catalog.imports import check_import, forget_import, load_imports, save_import
from plinth.domain.load import LoadError
from plinth.kit.errors import Invalid, NotFound
from tests.catalog.imported import NOW, csv_file, imported

KNOWN = Catalog().known()
ROWS = ("sku,region,amount,currency", "D4s_v5,West Europe,0.21,EUR")


def refused(content: bytes | str, name: str = "f.yaml") -> str:
    data = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(LoadError) as raised:
        check_import(data, name, KNOWN, NOW)
    assert raised.value.hint == "nothing was imported; correct the file and import it again"
    return raised.value.message


def test_a_kept_import_is_the_one_that_was_checked(tmp_path: Path) -> None:
    one = imported("prices", *ROWS)
    save_import(tmp_path / "catalog", one)
    (read,) = load_imports(tmp_path / "catalog")
    assert read == one
    assert list(read.rows) == list(one.rows)
    assert (tmp_path / "catalog").stat().st_mode & 0o077 == 0


def test_the_same_name_replaces_and_others_stand_in_order(tmp_path: Path) -> None:
    later = NOW + timedelta(hours=1)
    save_import(tmp_path, imported("prices", *ROWS, name="b.csv", now=later))
    save_import(tmp_path, imported("prices", *ROWS, name="c.csv"))
    save_import(tmp_path, imported("quotas", "quota,region,limit", "cpu,eastus,1", name="c.csv"))
    assert [(each.name, each.kind) for each in load_imports(tmp_path)] == [
        ("c.csv", "quotas"),
        ("b.csv", "prices"),
    ]


def test_without_a_folder_there_are_no_imports(tmp_path: Path) -> None:
    assert load_imports(tmp_path / "none") == ()


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    save_import(tmp_path, imported("prices", *ROWS))
    with pytest.raises(
        NotFound, match=r"no file `our\.csv` was imported; did you mean `ours\.csv`"
    ):
        forget_import(tmp_path, "our.csv")
    forget_import(tmp_path, "ours.csv")
    assert load_imports(tmp_path) == ()


@pytest.mark.parametrize("name", ["../ours.csv", "a/b.csv", ""])
def test_nothing_outside_of_the_folder_is_forgotten(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "catalog"
    save_import(folder, imported("prices", *ROWS))
    (tmp_path / "ours.csv.json").write_text("{}")
    with pytest.raises(NotFound):
        forget_import(folder, name)
    assert (tmp_path / "ours.csv.json").exists()


@pytest.mark.parametrize("name", ["x.txt", "x", ".hidden.csv", "ä.csv", "x" * 101 + ".csv"])
def test_a_name_that_cannot_be_kept_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="is no name for an import"):
        check_import(csv_file("prices", *ROWS), name, KNOWN, NOW)


def test_every_mistake_is_told_with_line_and_column() -> None:
    content = """kind: prices
source: x
date: 2026-11-01
rows:
  - {sku: D4s_v55, region: westeurop, amount: -3, currency: EURO}
  - sku: D4s_v5
    amount: .nan
    curency: EUR
"""
    assert refused(content).splitlines() == [
        "f.yaml:5: rows[0].amount: `-3` is not a number like `0.03`: no sign, no exponent, "
        "a point for the decimals",
        "f.yaml:5: rows[0].currency: `EURO` is not a currency; three letters like `EUR` are; "
        "did you mean `EUR`?",
        "f.yaml:5: rows[0].region: `westeurop` is not a region; did you mean `westeurope`?",
        "f.yaml:5: rows[0].sku: `D4s_v55` is not a size that the catalog knows (a file of kind "
        "`skus` adds one); did you mean `D4s_v5`?",
        "f.yaml:6: rows[1].currency: this column is needed",
        "f.yaml:7: rows[1].amount: `.nan` is not a number like `0.03`: no sign, no exponent, "
        "a point for the decimals",
        "f.yaml:8: rows[1].curency: unknown column; did you mean `currency`? accepted: sku, model, "
        "egress, region, tier, counted, deployment, version, options, amount, currency, unit",
    ]


def test_of_very_many_mistakes_the_first_are_told_and_the_rest_counted() -> None:
    lines = [f"D4s_v{number}x,1,EUR" for number in range(100, 2_000)]
    said = refused(csv_file("prices", "sku,amount,currency", *lines), "f.csv").splitlines()
    assert len(said) == 51
    assert all("did you mean `" in line for line in said[:50])
    assert said[50] == "and 1850 more mistakes"


def test_a_row_that_stands_twice_is_refused() -> None:
    said = refused(csv_file("prices", *ROWS, "Standard_D4s_v5,westeurope,9,EUR"), "f.csv")
    assert said == "f.csv:6: the same stands already in line 5; keep one of the two"


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("kind", "f.yaml:1: kind: what the file holds is missing: write `kind: ...` in YAML"),
        ("source", "f.yaml:1: source: where it comes from is missing"),
        ("date", "f.yaml:1: date: of which day is missing"),
    ],
)
def test_a_file_says_its_kind_source_and_day(field: str, said: str) -> None:
    lines = {"kind": "prices", "source": "x", "date": "2026-11-01"}
    head = "".join(f"{name}: {value}\n" for name, value in lines.items() if name != field)
    row = "rows: [{sku: D4s_v5, amount: 1, currency: EUR}]\n"
    assert said in refused(head + row)


@pytest.mark.parametrize("day", ["2026-11-23", "1999-12-31", "2026-02-30", "yesterday", "20261101"])
def test_a_day_is_one_that_was(day: str) -> None:
    row = "rows: [{sku: D4s_v5, amount: 1, currency: EUR}]\n"
    said = refused(f"kind: prices\nsource: x\ndate: {day}\n{row}")
    assert said.startswith(f"f.yaml:3: date: `{day}` is not a day like `2026-11-01`")


def test_a_wrong_kind_names_the_nearest() -> None:
    said = refused(csv_file("prises", *ROWS), "f.csv")
    assert "`prises` is not a kind of file to import; did you mean `prices`?" in said


def test_a_source_has_an_end() -> None:
    content = f"kind: prices\nsource: {'x' * 301}\ndate: 2026-11-01\nrows: [{{sku: D4s_v5}}]\n"
    assert "it has 301 characters; at most 300" in refused(content)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"kind": "strange"},
        {"date": "never"},
        {"rows": [{"sku": "D4s_v5"}]},
        {"rows": [{"sku": "D4s_v5", "amount": "x", "currency": "EUR"}]},
        {"rows": 3},
    ],
)
def test_a_damaged_import_is_told_and_can_be_forgotten(
    tmp_path: Path, change: dict[str, object]
) -> None:
    save_import(tmp_path, imported("prices", *ROWS))
    path = tmp_path / "ours.csv.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Invalid, match="was damaged") as raised:
        load_imports(tmp_path)
    assert "`plinth catalog forget ours.csv`" in str(raised.value.hint)
    forget_import(tmp_path, "ours.csv")
    assert load_imports(tmp_path) == ()


def test_a_cut_import_is_damaged_too(tmp_path: Path) -> None:
    (tmp_path / "ours.csv.json").write_text("{")
    with pytest.raises(Invalid, match="was damaged"):
        load_imports(tmp_path)


def test_a_write_that_failed_leaves_the_earlier_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_import(tmp_path, imported("prices", *ROWS))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        save_import(tmp_path, imported("quotas", "quota,region,limit", "cpu,eastus,1"))
    assert [each.kind for each in load_imports(tmp_path)] == ["prices"]
    assert [path.name for path in tmp_path.iterdir()] == ["ours.csv.json"]
