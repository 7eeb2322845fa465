"""The catalog: what Plinth brings, with what the organisation's imports state laid over it.

The planner and `plinth catalog` ask here. Every part is read from its file when it is first asked
for, so that whoever needs only regions pays only for regions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from plinth.catalog.accelerators import Accelerators, load_accelerators
from plinth.catalog.egress import Egress, load_egress
from plinth.catalog.exchange import Exchange, ExchangeRate
from plinth.catalog.import_kinds import (
    EgressPrice,
    ModelPrice,
    ServiceOffered,
    SkuOffered,
    SkuPrice,
    Zones,
)
from plinth.catalog.import_values import Known
from plinth.catalog.imports import Import, load_imports
from plinth.catalog.meters import Meters, load_meters
from plinth.catalog.names import spelling
from plinth.catalog.quotas import Quota, Quotas
from plinth.catalog.regions import Regions, load_regions
from plinth.catalog.services import Services, load_services
from plinth.catalog.skus import Sku, SkuOverrides, Skus, load_skus

T = TypeVar("T")


class Catalog:
    """Every fact and number, by part. Of two imports that state the same, the later one holds."""

    def __init__(self, imports: Sequence[Import] = ()) -> None:
        self.imports = tuple(imports)

    @cached_property
    def regions(self) -> Regions:
        """Regions, their groups and pairs."""
        zones = {each.region: (each.zones, each.source) for each in self._stated("regions", Zones)}
        return load_regions().with_zones(zones)

    @cached_property
    def skus(self) -> Skus:
        """Sizes of machines, where they are offered, what they cost."""
        facts: dict[str, Sku] = {}
        for each in self._stated("skus", Sku):
            facts[spelling(each.name)] = each
        availability = {
            (spelling(each.sku), each.region, each.tier): (each.offered, each.source)
            for each in self._stated("availability", SkuOffered)
        }
        prices = {
            (spelling(each.sku), each.region, each.tier): each.price
            for each in self._stated("prices", SkuPrice)
        }
        if not (facts or availability or prices):
            return load_skus()
        return load_skus().with_overrides(SkuOverrides(facts, availability, prices))

    @cached_property
    def meters(self) -> Meters:
        """What models cost."""
        stated = {each.key: each.price for each in self._stated("prices", ModelPrice)}
        return load_meters().with_overrides(stated) if stated else load_meters()

    @cached_property
    def egress(self) -> Egress:
        """What moving and keeping data costs."""
        stated = {
            (each.path, each.region): each.price for each in self._stated("prices", EgressPrice)
        }
        brought = load_egress()
        return Egress(brought.paths, brought.storage, stated)

    @cached_property
    def services(self) -> Services:
        """Where Azure's services are sold."""
        return load_services().with_stated(
            {
                (spelling(each.service), each.region): (each.offered, each.source)
                for each in self._stated("availability", ServiceOffered)
            }
        )

    @cached_property
    def accelerators(self) -> Accelerators:
        """Kinds of accelerators."""
        return load_accelerators()

    @cached_property
    def quotas(self) -> Quotas:
        """Quotas, as imports state them; all others are unknown."""
        return Quotas(self._stated("quotas", Quota))

    @cached_property
    def exchange(self) -> Exchange:
        """Exchange rates, as imports state them."""
        rates = self._stated("exchange-rates", ExchangeRate)
        return Exchange({(each.origin, each.target): each for each in rates})

    def known(self) -> Known:
        """Return the names that a file to import may use."""
        return Known(self.regions, self.skus, self.services, self.accelerators)

    def _stated(self, kind: str, model: type[T]) -> Iterator[T]:
        for imported in self.imports:
            if imported.kind == kind:
                for row in imported.rows:
                    if isinstance(row, model):
                        yield row


def open_catalog(folder: Path) -> Catalog:
    """Return the catalog with the imports of a home's folder; none when there is no such folder.

    Raises Invalid when an import was damaged.
    """
    return Catalog(load_imports(folder))
