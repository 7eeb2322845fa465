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
from plinth.catalog.platforms import capability_of, find_facts, load_platforms
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


def test_the_hours_that_an_import_states_replace_ours_by_task() -> None:
    catalog = catalog_with("day2-hours", "platform,task,hours", "aks,patching,6", "aks,on_call,0")
    assert catalog.day2("aks") == {"patching": 6, "on_call": 0}
    assert catalog.day2("ray") == {}
    ours, stated = find_facts("aks"), catalog.with_day2("aks", find_facts("aks"))
    assert (stated.day2.patching, stated.day2.on_call) == (6, 0)
    assert stated.day2.upgrades == ours.day2.upgrades
    assert stated.day2.source is not None
    assert "patching, on_call: our portal (ours.csv 2026-11-20" in stated.day2.source
    assert f"upgrades, scaling, security: {ours.day2.source}" in stated.day2.source
    assert catalog.with_day2("ray", find_facts("ray")) == find_facts("ray")
    assert catalog.with_day2("aks", capability_of(ours)).day2 == stated.day2


def test_platforms_are_planned_on_with_the_hours_that_are_stated() -> None:
    catalog = catalog_with("day2-hours", "platform,task,hours", "aks,patching,6")
    brought = load_platforms([], None, others={"aks": (), "ray": ()})
    local, aks, ray = catalog.with_stated_hours(brought)
    assert (local, ray) == (brought[0], brought[2])
    assert aks.capability.day2.patching == 6
    assert aks.offers == brought[1].offers
    assert Catalog().with_stated_hours(brought) == brought


def test_the_day_2_hours_of_a_platform_are_unknown_or_those_of_the_later_import() -> None:
    columns = "platform,task,hours"
    first = imported("day2-hours", columns, "aks,patching,6", "aks,scaling,1", name="z.csv")
    second = imported("day2-hours", columns, "aks,patching,7", name="a.csv", now=NOW + timedelta(1))
    assert Catalog([first, second]).day2("aks") == {"patching": 7, "scaling": 1}


def test_what_a_platform_charges_is_unknown_until_it_is_stated() -> None:
    assert Catalog().surcharge("aks", "westeurope") is None
    rows = ("aks,,0.10,USD", "aks,westeurope,0,EUR")
    catalog = catalog_with("platform-prices", "platform,region,amount,currency", *rows)
    here, there = catalog.surcharge("aks", "westeurope"), catalog.surcharge("aks", "eastus")
    assert here is not None
    assert there is not None
    assert (here.amount, here.currency) == (0, "EUR")
    assert (there.amount, there.currency, there.unit) == (Decimal("0.10"), "USD", "hour")
    assert catalog.surcharge("ray", "eastus") is None


def test_two_catalogs_that_state_the_same_have_one_digest() -> None:
    one = imported("prices", PRICE, "D4s_v5,1,EUR")
    later = imported("prices", PRICE, "D4s_v5,1,EUR", now=NOW + timedelta(days=1))
    other = imported("prices", PRICE, "D4s_v5,2,EUR")
    assert Catalog([one]).digest == Catalog([later]).digest
    assert len({Catalog(each).digest for each in ([], [one], [other], [one, other])}) == 4
