"""Regions: where they are, their pairs, and the groups that people name them by.

The planner asks which regions a requirement allows; imports ask whether a region exists. A region
of another cloud (China, US Gov) or one that needs Azure's consent is found by name and is in no
group.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from plinth.catalog.names import nearest, spelling
from plinth.catalog.table import Source, data_bytes, read_table
from plinth.kit.errors import Invalid

REGIONS = "regions.csv"
CODES = "region_codes.csv"
SOVEREIGN = "sovereign_regions.csv"
_COLUMNS = (
    *("name", "display", "geography", "group", "place", "type", "pair"),
    *("latitude", "longitude"),
)
_CODE_COLUMNS = ("name", "display", "code", "pair", "geography", "type")
PHYSICAL = "physical"
_EARTH_RADIUS_KM = 6371.0
# Azure's own regions for tests and previews: nobody's workload belongs there.
_NOT_FOR_WORKLOADS = ("Canary", "Stage")
# Where Azure names a whole continent as the geography, the country is in the place.
_CONTINENTS = frozenset({"Europe", "Asia Pacific"})
EU = frozenset(
    {
        *("Austria", "Belgium", "Bulgaria", "Croatia", "Cyprus", "Czechia", "Denmark", "Estonia"),
        *("Finland", "France", "Germany", "Greece", "Hungary", "Ireland", "Italy", "Latvia"),
        *("Lithuania", "Luxembourg", "Malta", "Netherlands", "Poland", "Portugal", "Romania"),
        *("Slovakia", "Slovenia", "Spain", "Sweden"),
    }
)
EEA = EU | {"Iceland", "Liechtenstein", "Norway"}


@dataclass(frozen=True, slots=True)
class Region:
    """One region. `geography`, `group` and `place` are Azure's words; empty: unknown.

    `type`: physical, logical (a name for several), sovereign (a cloud of its own) or restricted
    (Azure's consent is needed). `latitude` and `longitude` in degrees. `zones`: how many
    availability zones it has, None: unknown.
    """

    name: str
    display: str
    geography: str
    group: str
    place: str
    type: str
    pair: str | None
    code: str | None
    latitude: float | None
    longitude: float | None
    zones: int | None
    source: Source

    @property
    def country(self) -> str:
        """The country it lies in; where Azure names a continent, its place. Empty: unknown."""
        return self.place if self.geography in _CONTINENTS else self.geography

    @property
    def takes_workloads(self) -> bool:
        """Whether everybody can place a workload there."""
        return self.type == PHYSICAL and not self.geography.startswith(_NOT_FOR_WORKLOADS)


class Regions:
    """Every region that is known, by name, and the groups of them."""

    def __init__(self, regions: Iterable[Region]) -> None:
        self._regions = {region.name: region for region in regions}
        self._by_spelling = {spelling(name): name for name in self._regions}
        self._by_spelling |= {spelling(each.display): each.name for each in self}
        self._names = tuple(each.name for each in self if each.takes_workloads)
        self._groups = _groups(each for each in self if each.takes_workloads)

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions.values())

    def __contains__(self, name: object) -> bool:
        return name in self._regions

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the regions that take workloads, in Azure's order."""
        return self._names

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Each group with its regions: `eu`, `eea`, continents, then countries."""
        return self._groups

    def named(self, name: str) -> str | None:
        """Return Azure's name of a region, however it is spelled; None: there is none."""
        return self._by_spelling.get(spelling(name))

    def group_named(self, name: str) -> str | None:
        """Return the group that a name means, however it is spelled; None: there is none."""
        found = _group_name(name)
        return found if found in self._groups else None

    def find(self, name: str) -> Region:
        """Return a region by name or display name, however it is spelled.

        Raises Invalid with the nearest name.
        """
        found = self.named(name)
        if found is None:
            close = nearest(name, self._by_spelling)
            meant = f"; did you mean `{self._by_spelling[close]}`?" if close else ""
            raise Invalid(
                f"`{name[:60]}` is not a region{meant}", hint="`plinth catalog regions` lists them"
            )
        return self._regions[found]

    def expand(self, name: str) -> tuple[str, ...]:
        """Return the regions that `name` stands for: those of a group, or the one region.

        Raises Invalid with the nearest name of either.
        """
        group = self._groups.get(_group_name(name))
        if group is not None:
            return group
        found = self.named(name)
        if found is not None:
            return (found,)
        close = nearest(name, {*self._by_spelling, *self._groups})
        meant = f"; did you mean `{self._by_spelling.get(close, close)}`?" if close else ""
        raise Invalid(
            f"`{name[:60]}` is neither a region nor a group of regions{meant}",
            hint="`plinth catalog regions` lists regions and groups",
        )

    def distance_km(self, one: str, other: str) -> float | None:
        """Return the distance on the globe in km (haversine); None where a place is unknown."""
        here, there = self.find(one), self.find(other)
        if here.latitude is None or here.longitude is None:
            return None
        if there.latitude is None or there.longitude is None:
            return None
        north, south = math.radians(here.latitude), math.radians(there.latitude)
        east = math.radians(there.longitude - here.longitude)
        half = math.sin((south - north) / 2) ** 2
        half += math.cos(north) * math.cos(south) * math.sin(east / 2) ** 2
        return 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(half))

    def with_zones(self, zones: Mapping[str, tuple[int, Source]]) -> Regions:
        """Return the regions with the numbers of zones that imports state."""
        stated = (
            replace(each, zones=zones[each.name][0], source=zones[each.name][1])
            if each.name in zones
            else each
            for each in self
        )
        return Regions(stated) if zones else self


@cache
def load_regions() -> Regions:
    """Return the regions that Plinth brings."""
    return read_regions(data_bytes(REGIONS), data_bytes(CODES), data_bytes(SOVEREIGN))


def read_regions(regions: bytes, codes: bytes, sovereign: bytes) -> Regions:
    """Read the three files of regions: Azure's list, codes with further regions, sovereign ones."""
    coded = read_table(codes, CODES, _CODE_COLUMNS)
    code_of = {row[0]: row[2] for row in coded.rows}
    listed = read_table(regions, REGIONS, _COLUMNS)
    found = [_region(row, code_of.get(row[0]), listed.source) for row in listed.rows]
    known = {each.name for each in found}
    found += [
        Region(name, display, geography, "", "", kind, pair or None, code, *_UNKNOWN, coded.source)
        for name, display, code, pair, geography, kind in coded.rows
        if name not in known
    ]
    others = read_table(sovereign, SOVEREIGN, ("name", "display"))
    found += [
        Region(name, display, "", "", "", "sovereign", None, None, *_UNKNOWN, others.source)
        for name, display in others.rows
    ]
    return Regions(found)


# Latitude, longitude, zones.
_UNKNOWN = (None, None, None)


def _region(row: list[str], code: str | None, source: Source) -> Region:
    name, display, geography, group, place, kind, pair, latitude, longitude = row
    return Region(
        *(name, display, geography, group, place, kind),
        *(pair or None, code),
        float(latitude) if latitude else None,
        float(longitude) if longitude else None,
        None,
        source,
    )


def _groups(regions: Iterable[Region]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {"eu": [], "eea": [], "europe": []}
    for region in regions:
        names = {_group_name(region.group), _group_name(region.country)}
        names |= {_group_name(region.geography)} - {"europe", "asia-pacific"}
        names |= {"eu"} if region.country in EU else set()
        names |= {"eea"} if region.country in EEA else set()
        # Azure counts the United Kingdom as a group of its own.
        names |= {"europe"} if region.group in ("Europe", "UK") else set()
        for name in sorted(names - {""}):
            groups.setdefault(name, []).append(region.name)
    return {name: tuple(members) for name, members in groups.items()}


def _group_name(text: str) -> str:
    return "-".join(text.lower().replace("_", " ").replace("-", " ").split())
