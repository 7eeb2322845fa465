"""The catalog: what Plinth brings, with what the organisation's imports state laid over it.

The planner and `plinth catalog` ask here. Every part is read from its file when it is first asked
for, so that whoever needs only regions pays only for regions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from plinth import __version__
from plinth.catalog.accelerators import Accelerators, load_accelerators
from plinth.catalog.egress import Egress, load_egress
from plinth.catalog.exchange import Exchange, ExchangeRate
from plinth.catalog.import_kinds import (
    Day2Hours,
    EgressPrice,
    ModelPrice,
    PlatformPrice,
    ServiceOffered,
    SkuOffered,
    SkuPrice,
    Zones,
)
from plinth.catalog.import_values import Known
from plinth.catalog.imports import Import, load_imports
from plinth.catalog.meters import Meters, load_meters
from plinth.catalog.names import spelling
from plinth.catalog.platforms import platform_names, with_day2_hours
from plinth.catalog.price import ListPrice
from plinth.catalog.quotas import Quota, Quotas
from plinth.catalog.regions import Regions, load_regions
from plinth.catalog.services import Services, load_services
from plinth.catalog.skus import Sku, SkuOverrides, Skus, load_skus
from plinth.domain.platform import FactGroups, Platform
from plinth.kit.ids import digest_of

T = TypeVar("T")
F = TypeVar("F", bound=FactGroups)


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

    def day2(self, platform: str) -> Mapping[str, float]:
        """Return the hours of a month that imports state for a platform, by task of `Day2`."""
        return {task: each.hours for task, each in self._day2.get(platform, {}).items()}

    def with_day2(self, platform: str, facts: F) -> F:
        """Return a platform's facts, or its capability, with the hours that imports state."""
        stated = self._day2.get(platform, {})
        return with_day2_hours(facts, {name: (of.hours, of.source) for name, of in stated.items()})

    def with_stated_hours(self, platforms: Iterable[Platform]) -> tuple[Platform, ...]:
        """Return platforms with the hours of day-2 work that imports state, in the same order."""
        return tuple(
            each.model_copy(update={"capability": self.with_day2(each.name, each.capability)})
            if each.name in self._day2
            else each
            for each in platforms
        )

    def surcharge(self, platform: str, region: str) -> ListPrice | None:
        """Return what an hour of one machine costs beside the machine itself; None: unknown.

        As a cluster's control plane, or the units that Databricks counts. Only imports state it.
        """
        return self._surcharges.get((platform, region)) or self._surcharges.get((platform, None))

    @cached_property
    def digest(self) -> str:
        """Tell it from other catalogs: Plinth's version, which its data are part of, and imports.

        It is the same for the same statements, whenever they were imported.
        """
        stated = [
            [each.kind, each.source.text, each.source.day.isoformat(), *map(dict, each.cells)]
            for each in self.imports
        ]
        text = json.dumps([__version__, stated], sort_keys=True, ensure_ascii=False)
        return digest_of(text.encode())

    def known(self) -> Known:
        """Return the names that a file to import may use."""
        return Known(self.regions, self.skus, self.services, self.accelerators, platform_names())

    @cached_property
    def _day2(self) -> Mapping[str, Mapping[str, Day2Hours]]:
        found: dict[str, dict[str, Day2Hours]] = {}
        for each in self._stated("day2-hours", Day2Hours):
            found.setdefault(each.platform, {})[each.task] = each
        return found

    @cached_property
    def _surcharges(self) -> Mapping[tuple[str, str | None], ListPrice]:
        stated = self._stated("platform-prices", PlatformPrice)
        return {(each.platform, each.region): each.price for each in stated}

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
