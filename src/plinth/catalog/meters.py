"""Meters of models: what tokens, training and hosting cost, by region and kind of deployment.

The planner asks `price` for a model; `plinth catalog prices --model` shows every meter of it. The
amounts are Azure's own list, in US dollars; what an organisation pays it imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cache, cached_property
from typing import NamedTuple

from plinth.catalog.meter_name import Counted, Deployment, MeterName, read_name
from plinth.catalog.names import nearest, spelling
from plinth.catalog.price import COUNTS, USD, ListPrice
from plinth.catalog.table import Source, data_bytes, read_region_sets, read_table
from plinth.kit.errors import Invalid

METERS = "foundry_meters.csv.gz"
SETS = "foundry_regions.csv.gz"
_COLUMNS = ("meter", "product", "unit", "usd", "effective", "set")
_NO_OPTIONS: frozenset[str] = frozenset()
# Where a model has one price for short and one for long context, the short one is the usual.
_SHORT = frozenset({"short-context"})
_UNITS = {"1/Hour": "hour", "1 Hour": "hour", "1 Second": "second", "1/Day": "day"} | {
    "1/Month": "month"
}


class Meter(NamedTuple):
    """One row of Azure's list. `amount` in US dollars for one `unit` since `effective`.

    `unit`: `1K`, `1M`, `100`, `1`, `hour`, `second`, `day` or `month`. `regions`: in which the
    resource stands, wherever it processes.
    """

    name: str
    product: str
    unit: str
    amount: Decimal
    effective: date
    regions: frozenset[str]


@dataclass(frozen=True, slots=True)
class MeterQuery:
    """What is asked for. `version` None: the newest, whose first meter was in force last.

    `modality`: `text`, `audio` or `image` for models with several, else empty.
    """

    model: str
    counted: Counted
    deployment: Deployment | None
    region: str
    version: str | None = None
    modality: str = ""
    options: frozenset[str] = _NO_OPTIONS


@dataclass(frozen=True, slots=True)
class MeterKey:
    """What an imported price is for. `model` as `spelling` writes it.

    `region` and `version` None: every one that has no price of its own.
    """

    model: str
    counted: Counted
    deployment: Deployment
    region: str | None
    version: str | None
    options: frozenset[str]


class Meters:
    """Every meter, and what imports state over them."""

    def __init__(
        self, meters: Iterable[Meter], source: Source, overrides: Mapping[MeterKey, ListPrice]
    ) -> None:
        self._meters = tuple(meters)
        self.source = source
        self.overrides = overrides

    def __iter__(self) -> Iterator[Meter]:
        return iter(self._meters)

    def __len__(self) -> int:
        return len(self._meters)

    @cached_property
    def names(self) -> dict[tuple[str, str], MeterName]:
        """Each meter's name in our words, by its name and product."""
        return {key: read_name(*key) for key in {(each.name, each.product) for each in self}}

    @cached_property
    def models(self) -> dict[str, str]:
        """The models that have a meter, by their spelling."""
        return {spelling(name.model): name.model for name in self.names.values()}

    @cached_property
    def _by_model(self) -> dict[str, list[Meter]]:
        found: dict[str, list[Meter]] = {}
        for each in self:
            model = self.names[each.name, each.product].model
            found.setdefault(spelling(model), []).append(each)
        return found

    def name_of(self, meter: Meter) -> MeterName:
        """Return a meter's name in our words."""
        return self.names[meter.name, meter.product]

    def find(self, model: str) -> tuple[Meter, ...]:
        """Return every meter of a model. Raises Invalid with the nearest name."""
        found = self._by_model.get(spelling(model))
        if found is None:
            close = nearest(model, self.models.values())
            meant = f"; did you mean `{close}`?" if close else ""
            raise Invalid(
                f"`{model[:60]}` is not a model that has a meter{meant}",
                hint="`plinth catalog prices --models` lists them",
            )
        return tuple(found)

    def price(self, query: MeterQuery) -> ListPrice | None:
        """Return what is charged; None: unknown, or not offered so in that region.

        What imports state comes first. Of rows that say the same, the latest in force.
        """
        stated = self._stated(query)
        if stated is not None:
            return stated
        fitting = [
            each
            for each in self._by_model.get(spelling(query.model), ())
            if query.region in each.regions and _fits(self.name_of(each), query)
        ]
        exact = [each for each in fitting if self.name_of(each).options == query.options]
        chosen = max(exact or fitting, key=self._rank, default=None)
        return None if chosen is None else self.list_price(chosen)

    def prices(self, query: MeterQuery, regions: Iterable[str]) -> dict[str, ListPrice]:
        """Return what `price` says in each of many regions at once; `query.region` is not read.

        Regions without a price are left out.
        """
        fitting = [
            each
            for each in self._by_model.get(spelling(query.model), ())
            if _fits(self.name_of(each), query)
        ]
        # The last one that is written for a region holds.
        fitting.sort(
            key=lambda each: (self.name_of(each).options == query.options, self._rank(each))
        )
        # One object for all regions of a meter, so that whoever asks can tell that they are alike.
        listed = {
            region: price
            for each in fitting
            for price in (self.list_price(each),)
            for region in each.regions
        }
        found: dict[str, ListPrice] = {}
        for region in regions:
            price = self._stated(replace(query, region=region)) if self.overrides else None
            if price is None and region in listed:
                price = listed[region]
            if price is not None:
                found[region] = price
        return found

    def list_price(self, meter: Meter) -> ListPrice:
        """Return the price that a row of Azure's list states."""
        return ListPrice(meter.amount, USD, meter.unit, self.source)

    def with_overrides(self, overrides: Mapping[MeterKey, ListPrice]) -> Meters:
        """Return the meters with what imports state."""
        return Meters(self._meters, self.source, overrides)

    @cached_property
    def _introduced(self) -> dict[tuple[str, str], date]:
        """When the first meter of each version of a model was in force."""
        found: dict[tuple[str, str], date] = {}
        for each in self:
            name = self.name_of(each)
            key = (name.model, name.version)
            found[key] = min(each.effective, found.get(key, each.effective))
        return found

    def _rank(self, meter: Meter) -> tuple[date, date, Decimal, str]:
        name = self.name_of(meter)
        # Where the days say nothing, the dearer one, so that no plan is too cheap; tokens are
        # listed for 1K and for 1M, and hours never compete with tokens.
        dearest = meter.amount / COUNTS.get(meter.unit, 1)
        return self._introduced[name.model, name.version], meter.effective, dearest, meter.name

    def _stated(self, query: MeterQuery) -> ListPrice | None:
        if query.deployment is None or not self.overrides:
            return None
        for region in (query.region, None):
            for version in (query.version, None):
                key = MeterKey(
                    *(spelling(query.model), query.counted, query.deployment),
                    *(region, version, query.options),
                )
                if key in self.overrides:
                    return self.overrides[key]
        return None


@cache
def load_meters() -> Meters:
    """Return the meters that Plinth brings."""
    return read_meters(data_bytes(METERS), data_bytes(SETS))


def read_meters(meters: bytes, sets: bytes) -> Meters:
    """Read the files of meters and of the regions that they hold in."""
    regions = read_region_sets(sets, SETS)
    table = read_table(meters, METERS, _COLUMNS)
    days = {day: date.fromisoformat(day) for day in {row[4] for row in table.rows}}
    amounts = {amount: Decimal(amount) for amount in {row[3] for row in table.rows}}
    return Meters(
        (
            Meter(name, product, _UNITS.get(unit, unit), amounts[usd], days[day], regions[held])
            for name, product, unit, usd, day, held in table.rows
        ),
        table.source,
        {},
    )


def _fits(name: MeterName, query: MeterQuery) -> bool:
    return (
        name.counted is query.counted
        and name.deployment is query.deployment
        and name.modality == query.modality
        and (query.version is None or name.version == query.version)
        and name.options in (query.options, query.options | _SHORT)
    )
