"""What would have to be otherwise: the fewest changes that admit a platform, and what they change.

Pure, as all of planning: the command line shows what this returns. Every change that is named has
been tried: with it, every rule was asked again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from plinth.domain.application import Declaration
from plinth.domain.mistake import nearest_name
from plinth.domain.need import needs_of
from plinth.domain.plan import Advice, Candidate, Change, Outcome, Verdict
from plinth.domain.platform import Platform, PriceTier
from plinth.kit.errors import Invalid, NotFound
from plinth.planning.advice import make_advice, make_choice, places_of
from plinth.planning.change import change_context, change_declaration
from plinth.planning.context import Market
from plinth.planning.named import with_known_names
from plinth.planning.places import Places

# Above this many changes not every subset of them is tried: each is dropped by itself.
_MOST_SUBSETS = 6
_MOST_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that an answer depends on."""

    declaration: Declaration
    market: Market

    def advise(self) -> Advice:
        """Return the advice as things are."""
        return make_advice(self.declaration, self.market)

    def changed(self, changes: Iterable[Change]) -> Asked:
        """Return the same with the changes made. Raises Invalid where one is not accepted."""
        made = tuple(changes)
        context = change_context(self.market.context, made)
        return Asked(
            change_declaration(self.declaration, made), replace(self.market, context=context)
        )

    def judged(self, part: str, platform: str) -> list[Candidate]:
        """Return the best candidate of each way to buy a platform, for one part."""
        places = self._places(part)
        places.find([self._platform(platform)])
        return places.others(None, None)

    def way(self, part: str, platform: str, tier: PriceTier | None) -> Candidate | None:
        """Return the best candidate of one way to buy a platform; None where it makes no sense."""
        places = self._places(part)
        places.find_way(self._platform(platform), tier)
        return next(iter(places.others(None, None)), None)

    def admits(self, part: str, platform: str, tier: PriceTier | None) -> bool:
        """Tell whether one way to buy a platform has a place for the part."""
        return self._places(part).admits(self._platform(platform), tier)

    def _places(self, part: str) -> Places:
        names = {each.name for each in self.market.platforms}
        known = with_known_names(self.declaration, self.market.catalog, names)
        return places_of(known, part, replace(self.market, platforms=()))

    def _platform(self, name: str) -> Platform:
        return next(each for each in self.market.platforms if each.name == name)


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a part was not put on a platform, by the offer of it that is nearest to it.

    `failing`: what rejects it. `changes`: the fewest that admit it, none where it is admitted
    already, None where no change does. `would_be_chosen`: whether it is the best then; else
    `requirements.platform` chooses it.
    """

    part: str
    platform: str
    candidate: Candidate
    failing: tuple[Verdict, ...]
    changes: tuple[Change, ...] | None
    would_be_chosen: bool


def why_not(asked: Asked, platform: str) -> tuple[WhyNot, ...]:
    """Say for each part what rejects a platform, and the fewest changes that admit it.

    Raises NotFound for a platform that nobody knows.
    """
    known = tuple(each.name for each in asked.market.platforms)
    if platform not in known:
        near = nearest_name(platform, known)
        raise NotFound(
            f"there is no platform `{platform}`" + (f"; did you mean `{near}`?" if near else ""),
            hint=f"known are {', '.join(f'`{each}`' for each in sorted(known))}",
        )
    return tuple(_why_not(asked, need.name, platform) for need in needs_of(asked.declaration))


def _why_not(asked: Asked, part: str, platform: str) -> WhyNot:
    ways = asked.judged(part, platform)
    found = [(each, _admitting(asked, part, each)) for each in ways]
    candidate, changes = min(found, key=_distance)
    chosen = None
    if changes is not None:
        # What a change does to the other parts may move this one elsewhere.
        then = asked.changed(changes)
        chosen = make_choice(then.declaration, then.market)[part]
    return WhyNot(
        part=part,
        platform=platform,
        candidate=candidate,
        failing=tuple(_failing(candidate)),
        changes=changes,
        would_be_chosen=chosen == platform,
    )


def _admitting(asked: Asked, part: str, now: Candidate) -> tuple[Change, ...] | None:
    """Return the fewest changes that admit a way to buy a platform; None: there are none."""
    changes: dict[tuple[bool, str], Change] = {}
    candidate = now
    for _ in range(_MOST_ROUNDS):
        failing = _failing(candidate)
        if not failing:
            return _fewest(asked, part, now, tuple(changes.values()))
        for verdict in failing:
            if verdict.change is None:
                return None
            changes[verdict.change.of_inventory, verdict.change.field] = verdict.change
        try:
            # A change may bring up another rule; then that one's is added.
            changed = asked.changed(changes.values())
            then = changed.way(part, now.platform, now.offer.tier)
        except Invalid:
            return None
        if then is None:
            return None
        candidate = then
    return None


def _fewest(
    asked: Asked, part: str, now: Candidate, changes: tuple[Change, ...]
) -> tuple[Change, ...]:
    """Return the smallest of these that no rule rejects: of equal ones, the first."""
    if len(changes) <= _MOST_SUBSETS:
        for size in range(len(changes)):
            for subset in itertools.combinations(changes, size):
                if _is_admitted(asked, part, now, subset):
                    return subset
        return changes
    kept = list(changes)
    for change in changes:
        fewer = [each for each in kept if each is not change]
        if _is_admitted(asked, part, now, fewer):
            kept = fewer
    return tuple(kept)


def _is_admitted(asked: Asked, part: str, now: Candidate, changes: Iterable[Change]) -> bool:
    try:
        return asked.changed(changes).admits(part, now.platform, now.offer.tier)
    except Invalid:
        return False


def _failing(candidate: Candidate) -> list[Verdict]:
    return [each for each in candidate.verdicts if each.outcome is Outcome.NOT_OK]


def _distance(found: tuple[Candidate, tuple[Change, ...] | None]) -> tuple[bool, int, int]:
    candidate, changes = found
    return changes is None, len(changes or ()), len(_failing(candidate))


@dataclass(frozen=True, slots=True)
class Difference:
    """What is otherwise in one way to place a part in two advices; None: it is not in that one.

    `before` and `after`: chosen, possible or rejected. `rules`: those whose verdict is another,
    with what they say in the second.
    """

    part: str
    platform: str
    tier: str
    before: str | None
    after: str | None
    place: str
    rules: tuple[Verdict, ...]


def differences(before: Advice, after: Advice) -> tuple[Difference, ...]:
    """Return each way that is answered otherwise in the second advice, or placed elsewhere."""
    old, new = _answers(before), _answers(after)
    found = []
    for key in [*new, *(key for key in old if key not in new)]:
        then, now = old.get(key), new.get(key)
        said = {verdict.rule: verdict.outcome for verdict in then[1].verdicts} if then else {}
        rules = tuple(
            verdict
            for verdict in (now[1].verdicts if now else ())
            if said.get(verdict.rule) is not verdict.outcome
            and (verdict.outcome is not Outcome.OK or said.get(verdict.rule) is Outcome.NOT_OK)
        )
        answers = (then[0] if then else None, now[0] if now else None)
        moved = "chosen" in answers and then and now and _place(then[1]) != _place(now[1])
        if answers[0] != answers[1] or moved:
            place = _place(now[1]) if now else ""
            found.append(Difference(*key, *answers, place, rules))
    return tuple(found)


def _answers(advice: Advice) -> dict[tuple[str, str, str], tuple[str, Candidate]]:
    found = {}
    for part in advice.parts:
        for candidate in (*((part.chosen,) if part.chosen else ()), *part.rejected):
            answer = "possible" if candidate.is_feasible else "rejected"
            key = (part.name, candidate.platform, candidate.offer.tier or "")
            found[key] = ("chosen" if candidate is part.chosen else answer, candidate)
    return found


def _place(candidate: Candidate) -> str:
    offer = candidate.offer
    second = f" and {offer.standby}" if offer.standby else ""
    return f"{candidate.count} x {offer.sku} in {offer.region}{second}"


def relaxations(asked: Asked, part: str, most: int = 3) -> Sequence[WhyNot]:
    """Return the nearest ways to satisfy a part that has no place: fewest changes first."""
    found = [_why_not(asked, part, each.name) for each in asked.market.platforms]
    admitted = [each for each in found if each.changes]
    admitted.sort(key=lambda each: (len(each.changes or ()), each.platform))
    return admitted[:most]
