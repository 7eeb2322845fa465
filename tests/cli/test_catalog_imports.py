"""`plinth catalog import`, `imports` and `forget`."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.cli import catalog_imports
from tests.cli.alone import Alone

PRICES = """kind: prices
source: Enterprise agreement 4711
date: 2026-11-01
rows:
  - {sku: D4s_v5, region: westeurope, amount: 0.21, currency: EUR}
"""


def test_a_file_is_imported_listed_and_forgotten(alone: Alone) -> None:
    said = alone("catalog", "import", alone.write("prices.yaml", PRICES))
    assert said.code == 0
    assert "imported 1 row of prices from `prices.yaml`" in said.err
    assert "Enterprise agreement 4711" in alone("catalog", "imports").out
    (listed,) = alone("catalog", "imports", "--json").json
    assert (listed["file"], listed["kind"], listed["rows"]) == ("prices.yaml", "prices", 1)
    assert alone("catalog", "forget", "prices.yaml").code == 0
    assert alone("catalog", "imports", "--json").json == []
    assert "nothing was imported" in alone("catalog", "imports").err


def test_the_same_name_replaces_and_says_so(alone: Alone) -> None:
    alone("catalog", "import", alone.write("prices.yaml", PRICES))
    said = alone("catalog", "import", alone.write("prices.yaml", PRICES), "--json")
    assert "in place of those of 20" in said.err
    assert said.json["source"]["date"] == "2026-11-01"


def test_a_wrong_row_imports_nothing_and_leaves_what_was_there(alone: Alone) -> None:
    path = alone.write("prices.yaml", PRICES)
    alone("catalog", "import", path)
    kept = (alone.home / "catalog" / "prices.yaml.json").read_bytes()
    alone.write("prices.yaml", PRICES + "  - {sku: D8s_v5, amount: -1, currency: EUR}\n")
    said = alone("catalog", "import", path)
    assert said.code == 1
    assert said.err.startswith("error: prices.yaml:6: rows[1].amount: `-1` is not a number")
    assert "nothing was imported" in said.err
    assert (alone.home / "catalog" / "prices.yaml.json").read_bytes() == kept


def test_a_refused_first_file_leaves_no_home(alone: Alone) -> None:
    assert alone("catalog", "import", alone.write("p.yaml", "kind: x")).code == 1
    assert not alone.home.exists()


def test_a_size_that_a_file_added_does_not_vouch_for_the_same_file(alone: Alone) -> None:
    """What replaces a file may not lean on what it replaces."""
    alone.state("x.csv", "skus", "sku,cpu", "Own8,8")
    said = alone.state("x.csv", "prices", "sku,amount,currency", "Own8,1,EUR")
    assert said.code == 1
    assert "`Own8` is not a size that the catalog knows" in said.err
    assert alone.state("y.csv", "prices", "sku,amount,currency", "Own8,1,EUR").code == 0


def test_a_file_that_cannot_be_read_is_told(alone: Alone, tmp_path: Path) -> None:
    assert "cannot be read: No such file" in alone("catalog", "import", tmp_path / "no.csv").err
    assert "is not a file" in alone("catalog", "import", tmp_path).err


def test_a_home_that_cannot_be_written_is_told(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(catalog_imports, "save_import", full)
    said = alone("catalog", "import", alone.write("prices.yaml", PRICES))
    assert said.code == 1
    assert "cannot be written: No space left on device; nothing was imported" in said.err


def test_a_mistaken_name_to_forget_gets_the_nearest(alone: Alone) -> None:
    alone("catalog", "import", alone.write("prices.yaml", PRICES))
    said = alone("catalog", "forget", "price.yaml")
    assert said.code == 1
    assert "did you mean `prices.yaml`?" in said.err
