"""Services of Azure by region, such as whether Azure Machine Learning is sold in Sweden Central."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from plinth.catalog.names import nearest, spelling
from plinth.catalog.table import Source, data_bytes, read_table
from plinth.kit.errors import Invalid

FILE = "services.csv.gz"
_COLUMNS = ("service", "category", "regions")

ServiceKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Service:
    """One service, by Azure's name, with the regions that sell it."""

    name: str
    category: str
    regions: frozenset[str]
    source: Source


class Services:
    """Every service that is known, and what imports state of them by (spelling, region)."""

    def __init__(
        self, services: Iterable[Service], stated: Mapping[ServiceKey, tuple[bool, Source]]
    ) -> None:
        self._services = {spelling(each.name): each for each in services}
        self._stated = stated
        self.covered_regions = frozenset[str]().union(*(each.regions for each in self))

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services.values())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and spelling(name) in self._services

    def find(self, name: str) -> Service:
        """Return a service by name. Raises Invalid with the nearest name."""
        found = self._services.get(spelling(name))
        if found is None:
            close = nearest(name, (each.name for each in self))
            meant = f"; did you mean `{close}`?" if close else ""
            raise Invalid(f"`{name[:60]}` is not a service that the catalog knows{meant}")
        return found

    def availability(self, name: str, region: str) -> tuple[bool | None, Source | None]:
        """Return whether a service is sold in a region, and who says so; None: unknown.

        Raises Invalid for a name that is no service.
        """
        service = self.find(name)
        stated = self._stated.get((spelling(service.name), region))
        if stated is not None:
            return stated
        if region not in self.covered_regions:
            return None, None
        return region in service.regions, service.source

    def offered(self, name: str, region: str) -> bool | None:
        """Return whether a service is sold in a region; None: unknown."""
        return self.availability(name, region)[0]

    def with_stated(self, stated: Mapping[ServiceKey, tuple[bool, Source]]) -> Services:
        """Return the services with what imports state."""
        return Services(self, stated)


@cache
def load_services() -> Services:
    """Return the services that Plinth brings."""
    return read_services(data_bytes(FILE))


def read_services(content: bytes) -> Services:
    """Read a file of services."""
    table = read_table(content, FILE, _COLUMNS)
    return Services(
        (
            Service(name, category, frozenset(regions.split("|")), table.source)
            for name, category, regions in table.rows
        ),
        {},
    )
