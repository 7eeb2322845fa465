"""Which places the parts take: the search, made to fit what is owned.

`advice.py` calls it with the places of all parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from plinth.catalog.catalog import Catalog
from plinth.catalog.machine import LOCAL
from plinth.catalog.platforms import system_of
from plinth.domain.application import Weights
from plinth.domain.need import Need
from plinth.planning.capacity import Load, shared_rooms
from plinth.planning.context import Market
from plinth.planning.joint import MICRO, Choice, Question, search
from plinth.planning.places import NOWHERE, Places, unplaced_gb

# Parts that may not stand on a platform together with others, by (part, platform).
Banned = frozenset[tuple[int, str]]
_NOBODY: Banned = frozenset()


def choose(parts: Sequence[Places], weights: Weights, market: Market) -> Choice | None:
    """Return the best choice that what is owned has room for; None without any place.

    Where parts together need more than is owned, each of them in turn is kept away from it, and the
    best of the choices that come of it is taken.
    """
    return _with_room(parts, weights, market, _NOBODY)


def _with_room(
    parts: Sequence[Places], weights: Weights, market: Market, banned: Banned
) -> Choice | None:
    choice = _search(parts, weights, market, banned)
    if choice is None:
        return None
    for room in shared_rooms(_loads(parts, choice)):
        if room.short:
            others = (
                _with_room(parts, weights, market, banned | {(part, room.platform)})
                for part in room.parts
            )
            found = [each for each in others if each is not None]
            return min(found, key=lambda each: each.value, default=None)
    return choice


def _loads(parts: Sequence[Places], choice: Choice) -> list[Load]:
    found = []
    for part, entry in enumerate(choice.entries):
        if entry is not None:
            place = parts[part].places[entry.number]
            need = parts[part].need
            found.append(Load(part, need, entry.platform, place.offer, place.count))
    return found


def _search(
    parts: Sequence[Places], weights: Weights, market: Market, banned: Banned
) -> Choice | None:
    needs = [places.need for places in parts]
    owned = {way.platform.name for places in parts for way in places.ways if way.owned}
    work = {
        platform.name: int((platform.capability.day2.total or 0) * weights.hour * MICRO)
        for platform in market.platforms
        if platform.name not in owned
    }
    apart = int(weights.apart * MICRO)
    several = len(parts) > 1
    unplaced = [unplaced_gb(need) for need in needs]

    def away(part: int, home: str) -> int:
        return (apart if several else 0) + int(unplaced[part] * _rate(market.catalog, home) * MICRO)

    names = [need.name for need in needs]
    together = (
        (names.index("train"), names.index("tune")) if {"train", "tune"} <= set(names) else None
    )
    return search(
        Question(
            parts=[
                [entry for entry in places.entries if (part, entry.platform) not in banned]
                if banned
                else places.entries
                for part, places in enumerate(parts)
            ],
            settle=lambda part, entry: parts[part].settle(entry),
            work=work,
            away=away,
            homes=_homes(needs, parts, market.catalog),
            together=together,
            family={platform.name: system_of(platform.name) for platform in market.platforms},
        )
    )


def _homes(needs: Sequence[Need], parts: Sequence[Places], catalog: Catalog) -> tuple[str, ...]:
    """Return every region that may be home, the preferred first.

    Where data lies, then the regions of the file in its order, then Azure's order.
    """
    reached = {entry.region for places in parts for entry in places.entries}
    wanted: list[str] = []
    for need in needs:
        wanted += [data.region for data in need.data.values() if data.region]
    for need in needs:
        for name in need.requirements.regions:
            wanted += catalog.regions.groups.get(name, (name,))
    order = dict.fromkeys([*wanted, LOCAL, *catalog.regions.names, *sorted(reached)])
    return tuple(region for region in order if region in reached)


def _rate(catalog: Catalog, home: str) -> Decimal:
    if home not in catalog.regions:
        return Decimal(0)
    price = catalog.egress.between(home, NOWHERE)
    return Decimal(0) if price is None else price.amount
