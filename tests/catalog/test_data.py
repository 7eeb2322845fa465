"""The data files: each says where it is from, and holds what its source holds."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from decimal import Decimal
from importlib import resources
from pathlib import Path

import pytest

from plinth.catalog.meters import load_meters
from plinth.catalog.price import Tier
from plinth.catalog.regions import load_regions
from plinth.catalog.services import load_services
from plinth.catalog.skus import load_skus
from plinth.catalog.table import data_bytes

FOLDER = resources.files("plinth.catalog").joinpath("data")
SHARED = Path(__file__).parents[3] / "shared" / "data"
# Provisioned throughput has a page of sources of its own.
OTHERS = ("provisioned.csv",)
FILES = sorted(
    each.name
    for each in FOLDER.iterdir()
    if each.name.endswith((".csv", ".csv.gz")) and each.name not in OTHERS
)
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the data that the catalog was made from is not on this machine"
)


def rows(name: str) -> Iterator[dict[str, str]]:
    content = (SHARED / name).read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    return csv.DictReader(io.StringIO(text))


@pytest.mark.parametrize("name", FILES)
def test_every_file_states_source_day_and_licence_and_is_on_the_page(name: str) -> None:
    content = data_bytes(name)
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    head = [line.split(":")[0] for line in text.splitlines()[:4]]
    assert head == ["# name", "# source", "# date", "# licence"]
    assert f"`{name}`" in FOLDER.joinpath("SOURCES.md").read_text()


def test_the_data_is_small() -> None:
    assert sum(len(data_bytes(name)) for name in FILES) < 60_000


@needs_shared
def test_meters_are_those_of_the_source() -> None:
    expected = sorted(
        (
            *(row["meter"], row["product"], Decimal(row["usd"]), row["effective"]),
            "|".join(sorted(row["regions"].split("|"))),
        )
        for row in rows("prices/azure_foundry_meters.csv.gz")
    )
    found = sorted(
        (
            *(each.name, each.product, each.amount, each.effective.isoformat()),
            "|".join(sorted(each.regions)),
        )
        for each in load_meters()
    )
    assert found == expected


@needs_shared
def test_regions_are_those_of_the_source() -> None:
    regions = load_regions()
    listed = {row["name"]: row for row in rows("azure/regions.csv")}
    assert len(listed) == 109
    for name, row in listed.items():
        region = regions.find(name)
        assert (region.display, region.geography) == (row["display"], row["geography"])
        assert (region.pair or "", region.type) == (row["paired"], row["type"].lower())
        assert str(region.latitude or "") == (str(float(row["lat"])) if row["lat"] else "")


@needs_shared
def test_services_are_those_of_the_source() -> None:
    expected = {(row["service"], row["region"]) for row in rows("azure/region_services.csv.gz")}
    found = {(each.name, region) for each in load_services() for region in each.regions}
    assert found == expected


@needs_shared
def test_sizes_are_offered_where_the_source_says_so() -> None:
    """Each row of the source for Linux machines, region by region and tier by tier."""
    skus = load_skus()
    checked = 0
    for row in rows("azure/vm_sku_regions.csv.gz"):
        product, sku = row["product"], row["sku"]
        if product.endswith(("Windows", "Win")) or "Cloud" in product or "Dedicated" in product:
            continue
        tier = Tier.STANDARD
        for ending, its_tier in ((" Spot", Tier.SPOT), (" Low Priority", Tier.LOW_PRIORITY)):
            if sku.endswith(ending):
                sku, tier = sku.removesuffix(ending), its_tier
        if "Type" in sku:
            continue
        name = sku.replace("Basic_", "").replace(" ", "_")
        name = name.replace("ND96asr_A100_v4", "ND96asr_v4")
        skus.find(name)
        assert all(skus.offered(name, region, tier) for region in row["regions"].split("|")), row
        checked += 1
    assert checked > 4_000
    assert "eastus" not in skus.covered_regions
