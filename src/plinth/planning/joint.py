"""Where all parts stand together: an exact search for the smallest sum, with pruning.

`advice.py` gives every place of every part with what it is worth alone; here they are weighed
together. What joins them: a platform is looked after once, however many parts use it; what stands
away from the application's home region costs extra; training and tuning share a service unless no
one service takes both. A brute-force search over small cases finds the same (the tests).

Amounts are whole micro-units of the plan's currency, so that sums are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MICRO = 1_000_000
# Each above any sum of what stands below it: a part without a place, a cost that nobody knows,
# training apart from tuning.
NO_PLACE = 10**27
UNKNOWN_COST = 10**24
SPLIT = 10**21


@dataclass(frozen=True, slots=True)
class Entry:
    """One place for one part. `floor`: what it is worth alone before `settle` has judged it.

    `number` tells entries of a part apart.
    """

    number: int
    platform: str
    region: str
    floor: int


@dataclass(frozen=True, slots=True)
class Question:
    """All places of all parts, and what joins them.

    `settle(part, entry)`: what judging it adds to its floor, 0 or more, None where it is rejected.
    `work`: what a platform costs to look after, whoever uses it; of a family of them (`family`,
    else each is its own) the most is paid once. `away(part, home)`: what a part pays that does not
    stand at home. `homes`: regions that may be home, the preferred first. `together`: two parts
    that share a family if one takes both.
    """

    parts: Sequence[Sequence[Entry]]
    settle: Callable[[int, Entry], int | None]
    work: Mapping[str, int]
    away: Callable[[int, str], int]
    homes: Sequence[str]
    together: tuple[int, int] | None = None
    family: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """The best of all. `entries`: one for each part, None where none of its places is feasible."""

    home: str
    entries: tuple[Entry | None, ...]
    value: int


# What a platform can do for a part at one home: the value, and by which entry.
_Found = tuple[int, Entry | None]


@dataclass(slots=True)
class _Places:
    """The entries of one part on one platform, the cheapest first, and each judged once."""

    part: int
    entries: list[Entry]
    settle: Callable[[int, Entry], int | None]
    at: dict[str, list[Entry]] = field(default_factory=dict)
    settled: dict[int, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entries.sort(key=lambda entry: (entry.floor, entry.region, entry.number))
        for entry in self.entries:
            self.at.setdefault(entry.region, []).append(entry)

    def floor(self, home: str, away: int) -> int:
        """Return what no place of these can be below, with this home."""
        here = self.at.get(home)
        elsewhere = self.entries[0].floor + away
        return min(here[0].floor, elsewhere) if here else elsewhere

    def best(self, home: str, away: int) -> _Found | None:
        """Return the best feasible place with this home; None: none is feasible."""
        found = self._first(self.at.get(home, ()), 0, None)
        return self._first(self.entries, away, found, home)

    def _first(
        self, entries: Iterable[Entry], extra: int, best: _Found | None, but: str | None = None
    ) -> _Found | None:
        for entry in entries:
            if best is not None and entry.floor + extra >= best[0]:
                return best
            if entry.region == but:
                continue
            if entry.number not in self.settled:
                self.settled[entry.number] = self.settle(self.part, entry)
            added = self.settled[entry.number]
            if added is not None and (best is None or entry.floor + extra + added < best[0]):
                best = (entry.floor + extra + added, entry)
        return best


def search(question: Question) -> Choice | None:
    """Return the choice with the smallest sum; None without any home.

    Of equal sums the one with the earlier home, then that whose platforms need less work each,
    then that whose platforms come first by name.
    """
    places = [_by_platform(question, part) for part in range(len(question.parts))]
    best: Choice | None = None
    for home in question.homes:
        away = [question.away(part, home) for part in range(len(places))]
        floor = sum(
            min((each.floor(home, away[part]) for each in found.values()), default=NO_PLACE)
            for part, found in enumerate(places)
        )
        if best is not None and floor >= best.value:
            continue
        tables = [
            {
                platform: value
                for platform, each in found.items()
                if (value := each.best(home, away[part])) is not None
            }
            for part, found in enumerate(places)
        ]
        found_here = _Assignment(tables, question).best(None if best is None else best.value)
        if found_here is not None:
            best = Choice(home, found_here[1], found_here[0])
    return best


def value_of(
    question: Question, home: str, entries: Sequence[Entry | None], added: Sequence[int]
) -> int:
    """Return the sum of one choice, reckoned from its definition; the tests search with it."""
    total = 0
    for part, entry in enumerate(entries):
        if entry is None:
            total += NO_PLACE
            continue
        away = 0 if entry.region == home else question.away(part, home)
        total += entry.floor + added[part] + away
    used: dict[str, int] = {}
    for name in {entry.platform for entry in entries if entry is not None}:
        family = question.family.get(name, name)
        used[family] = max(used.get(family, 0), question.work.get(name, 0))
    total += sum(used.values())
    if question.together is not None:
        one, other = (entries[part] for part in question.together)
        if one is not None and other is not None:
            families = {question.family.get(each.platform, each.platform) for each in (one, other)}
            total += SPLIT if len(families) > 1 else 0
    return total


def _by_platform(question: Question, part: int) -> dict[str, _Places]:
    found: dict[str, list[Entry]] = {}
    for entry in question.parts[part]:
        found.setdefault(entry.platform, []).append(entry)
    return {
        platform: _Places(part, entries, question.settle)
        for platform, entries in sorted(found.items())
    }


class _Assignment:
    """A platform for each part, at one home: depth first, cheapest first, cut by a bound."""

    def __init__(self, tables: Sequence[Mapping[str, _Found]], question: Question) -> None:
        self._tables = [table or {"": (NO_PLACE, None)} for table in tables]
        self._work = question.work
        self._family = question.family
        self._together = question.together
        # Parts with few platforms first: what they are bound to is known early.
        self._order = sorted(range(len(tables)), key=lambda part: (len(self._tables[part]), part))
        cheapest = [min(value for value, _ in self._tables[part].values()) for part in self._order]
        self._rest = [sum(cheapest[depth:]) for depth in range(len(cheapest) + 1)]
        self._cheapest = cheapest
        self._chosen: list[str] = [""] * len(tables)
        self._found: tuple[int, tuple[Entry | None, ...]] | None = None
        self._limit: int | None = None

    def best(self, limit: int | None) -> tuple[int, tuple[Entry | None, ...]] | None:
        """Return the best below `limit`, None where there is none."""
        self._limit = limit
        self._descend(0, 0, {})
        return self._found

    def _descend(self, depth: int, total: int, used: dict[str, int]) -> None:
        if depth == len(self._order):
            self._limit = total
            entries = tuple(
                self._tables[part][platform][1] for part, platform in enumerate(self._chosen)
            )
            self._found = (total, entries)
            return
        if self._limit is not None and total + self._at_least(depth, used) >= self._limit:
            return
        part = self._order[depth]
        for added, _, platform in self._children(part, used, depth):
            if self._limit is not None and total + added + self._rest[depth + 1] >= self._limit:
                break
            self._chosen[part] = platform
            family = self._of(platform)
            before = used.get(family, 0)
            used[family] = max(before, self._work.get(platform, 0))
            self._descend(depth + 1, total + added, used)
            used[family] = before

    def _of(self, platform: str) -> str:
        return self._family.get(platform, platform)

    def _more_work(self, platform: str, used: Mapping[str, int]) -> int:
        """Return what looking after a platform adds to what is looked after already."""
        work = self._work.get(platform, 0)
        return max(0, work - used.get(self._of(platform), 0))

    def _children(
        self, part: int, used: Mapping[str, int], depth: int
    ) -> list[tuple[int, int, str]]:
        """Return what each platform adds, the least first; of equal ones that with less work."""
        other = self._partner(part, depth)
        return sorted(
            (
                value
                + self._more_work(platform, used)
                + (SPLIT if platform and other and self._of(other) != self._of(platform) else 0),
                self._work.get(platform, 0),
                platform,
            )
            for platform, (value, _) in self._tables[part].items()
        )

    def _partner(self, part: int, depth: int) -> str | None:
        """Return the platform of the part it belongs together with, where that has one already."""
        if self._together is None or part not in self._together:
            return None
        one, two = self._together
        other = two if part == one else one
        if other not in self._order[:depth]:
            return None
        return self._chosen[other] or None

    def _at_least(self, depth: int, used: Mapping[str, int]) -> int:
        """Return what the parts from here on cannot be below.

        Their cheapest places, and the work that the one part adds that most needs a new platform.
        """
        most = 0
        for place, part in enumerate(self._order[depth:], depth):
            least = min(
                value + self._more_work(platform, used)
                for platform, (value, _) in self._tables[part].items()
            )
            most = max(most, least - self._cheapest[place])
        return self._rest[depth] + most
