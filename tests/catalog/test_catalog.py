"""The catalog: what Plinth brings, with imports over it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import pytest

from plinth.catalog import catalog as module
from plinth.catalog.catalog import Catalog, open_catalog
from plinth.catalog.imports import save_import
from tests.catalog.imported import NOW, catalog_with, imported

PRICE = "sku,amount,currency"


def test_without_imports_it_is_what_plinth_brings() -> None:
    catalog = Catalog()
    assert catalog.skus is Catalog().skus
    assert catalog.meters is Catalog().meters
    assert catalog.regions is Catalog().regions
    assert not list(catalog.quotas)
    assert not list(catalog.exchange)


def test_of_two_imports_the_later_one_holds() -> None:
    first = imported("prices", PRICE, "D4s_v5,1,EUR", name="z.csv")
    later = imported("prices", PRICE, "D4s_v5,2,EUR", name="a.csv", now=NOW + timedelta(days=1))
    price = Catalog([first, later]).skus.price("D4s_v5", "eastus")
    assert price is not None
    assert price.amount == Decimal(2)
    assert str(price.source) == "a.csv 2026-11-20, imported 2026-11-23"


def test_a_home_keeps_what_it_imported(tmp_path: Path) -> None:
    save_import(tmp_path, imported("regions", "region,zones", "westeurope,3"))
    assert open_catalog(tmp_path).regions.find("westeurope").zones == 3
    assert open_catalog(tmp_path / "none").regions.find("westeurope").zones is None


def test_a_size_that_one_import_adds_has_a_price_in_another() -> None:
    catalog = catalog_with("skus", "sku,cpu", "Own8,8")
    assert catalog.skus.find("own8").cpu == 8
    assert "Own8" in catalog.known().skus
    assert catalog.skus.offered("Own8", "westeurope") is None


def test_no_part_is_read_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who needs regions does not pay for meters."""

    def too_early() -> NoReturn:
        raise AssertionError("nobody asked for it")

    for name in ("load_skus", "load_meters", "load_egress", "load_services", "load_accelerators"):
        monkeypatch.setattr(module, name, too_early)
    assert Catalog().regions.expand("eu")
