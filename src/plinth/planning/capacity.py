"""Whether what is owned has room for all parts that were put on it, together.

Machines that are bought grow with what is asked of them; those that are owned do not. What answers
requests runs all the time, what trains or works through data does so one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from plinth.domain.need import Need
from plinth.domain.platform import Offer

_ALWAYS_ON = frozenset({"online", "flow"})


@dataclass(frozen=True, slots=True)
class Load:
    """One part on machines that are owned. `part`: its place among the parts."""

    part: int
    need: Need
    platform: str
    offer: Offer
    count: int


@dataclass(frozen=True, slots=True)
class Room:
    """What parts together need of what is owned of a platform in a region, and what there is."""

    platform: str
    region: str
    parts: tuple[int, ...]
    names: tuple[str, ...]
    needed: Mapping[str, float]
    has: Mapping[str, float]

    @property
    def short(self) -> tuple[str, ...]:
        """What there is too little of: cores, memory, machines, or a kind of accelerator."""
        # The small addend: ten times 0.1 cores are a little more than one.
        return tuple(
            what for what, much in self.needed.items() if much > self.has.get(what, 0) + 1e-9
        )


def shared_rooms(loads: Iterable[Load]) -> tuple[Room, ...]:
    """Return each owned platform and region that several parts stand on, with what they need."""
    found: dict[tuple[str, str], list[Load]] = {}
    for load in loads:
        # Without a count nobody said how many machines there are: then nothing is known to lack.
        if load.offer.count is not None and load.offer.tier == "own-hardware":
            found.setdefault((load.platform, load.offer.region), []).append(load)
    return tuple(
        _room(platform, region, sharing)
        for (platform, region), sharing in sorted(found.items())
        if len(sharing) > 1
    )


def _room(platform: str, region: str, sharing: Sequence[Load]) -> Room:
    always = [_taken(load) for load in sharing if load.need.function in _ALWAYS_ON]
    in_turn = [_taken(load) for load in sharing if load.need.function not in _ALWAYS_ON]
    kinds = {what for taken in (*always, *in_turn) for what in taken}
    needed = {
        what: sum(taken.get(what, 0) for taken in always)
        + max((taken.get(what, 0) for taken in in_turn), default=0)
        for what in sorted(kinds)
    }
    offer = max((load.offer for load in sharing), key=lambda each: each.count or 0)
    machines = offer.count or 0
    has = {"cores": offer.cpu * machines, "bytes of memory": float(offer.memory * machines)}
    names = {load.need.name for load in sharing}
    if any(names & set(load.need.requirements.isolate_from) for load in sharing):
        # What must not share compute needs machines of its own.
        needed["machines"] = sum(max(1, load.count) for load in sharing)
        has["machines"] = machines
    if offer.accelerator is not None:
        has[offer.accelerator.kind] = offer.accelerator.count * machines
    return Room(
        platform=platform,
        region=region,
        parts=tuple(load.part for load in sharing),
        names=tuple(load.need.name for load in sharing),
        needed=needed,
        has=has,
    )


def _taken(load: Load) -> dict[str, float]:
    wanted = load.need.resources
    instances = max(load.need.instances_at_peak, load.count)
    taken = {
        "cores": wanted.cpu * instances,
        "bytes of memory": float(wanted.memory * instances),
    }
    if wanted.accelerator is not None:
        taken[wanted.accelerator.kind] = wanted.accelerator.count * instances
    return taken
