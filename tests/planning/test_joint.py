"""The search finds what a brute-force search over every choice finds."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.planning.joint import NO_PLACE, SPLIT, Entry, Question, search, value_of

PLATFORMS = ("aks", "databricks", "local", "managed")
REGIONS = ("northeurope", "swedencentral", "westeurope")


def question(seed: int, parts: int, places: int) -> tuple[Question, dict[tuple[int, int], int]]:
    """Return a random question with small numbers, so that sums are often equal."""
    dice = random.Random(seed)
    entries = [
        [
            Entry(number, dice.choice(PLATFORMS), dice.choice(REGIONS), dice.randint(-3, 12))
            for number in range(dice.randint(0, places))
        ]
        for _ in range(parts)
    ]
    added = {
        (part, entry.number): dice.randint(0, 4)
        for part, found in enumerate(entries)
        for entry in found
        if dice.random() < 0.8
    }
    away = [dice.randint(0, 6) for _ in range(parts)]
    return (
        Question(
            parts=entries,
            settle=lambda part, entry: added.get((part, entry.number)),
            work={platform: dice.randint(0, 10) for platform in PLATFORMS},
            away=lambda part, home: away[part] + REGIONS.index(home),
            homes=REGIONS,
            together=(0, 1) if parts > 1 and dice.random() < 0.5 else None,
            family={"aks": "clusters", "managed": "clusters"} if dice.random() < 0.5 else {},
        ),
        added,
    )


def by_brute_force(asked: Question, added: dict[tuple[int, int], int]) -> int:
    choices = [
        [entry for entry in found if (part, entry.number) in added] or [None]
        for part, found in enumerate(asked.parts)
    ]
    return min(
        value_of(
            asked,
            home,
            entries,
            [0 if each is None else added[part, each.number] for part, each in enumerate(entries)],
        )
        for home in asked.homes
        for entries in itertools.product(*choices)
    )


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 4), st.integers(1, 5))
def test_the_search_finds_what_brute_force_finds(seed: int, parts: int, places: int) -> None:
    asked, added = question(seed, parts, places)
    found = search(asked)
    assert found is not None
    assert found.value == by_brute_force(asked, added)
    extra = [
        0 if each is None else added[part, each.number] for part, each in enumerate(found.entries)
    ]
    assert value_of(asked, found.home, found.entries, extra) == found.value


def simple(*parts: list[Entry], **joined: object) -> Question:
    given_facts = {"work": {}, "homes": REGIONS, "away": lambda part, home: 0, **joined}
    return Question(parts=parts, settle=lambda part, entry: 0, **given_facts)  # type: ignore[arg-type]


def test_a_platform_that_two_parts_share_is_looked_after_once() -> None:
    cheap_apart = [Entry(0, "aks", "westeurope", 10), Entry(1, "managed", "westeurope", 14)]
    other = [Entry(0, "local", "westeurope", 10), Entry(1, "managed", "westeurope", 14)]
    found = search(simple(cheap_apart, other, work=dict.fromkeys(PLATFORMS, 20)))
    assert found is not None
    assert [each and each.platform for each in found.entries] == ["managed", "managed"]
    assert found.value == 14 + 14 + 20


def test_platforms_of_one_family_are_looked_after_together() -> None:
    one = [Entry(0, "aks", "westeurope", 0)]
    two = [Entry(0, "managed", "westeurope", 0)]
    work = {"aks": 8, "managed": 5}
    apart = search(simple(one, two, work=work))
    family = dict.fromkeys(work, "clusters")
    together = search(simple(one, two, work=work, family=family))
    assert apart is not None
    assert together is not None
    assert (apart.value, together.value) == (13, 8)


def test_training_and_tuning_are_apart_only_where_no_platform_takes_both() -> None:
    train = [Entry(0, "aks", "westeurope", 1), Entry(1, "managed", "westeurope", 50)]
    tune = [Entry(0, "databricks", "westeurope", 1), Entry(1, "managed", "westeurope", 50)]
    found = search(simple(train, tune, together=(0, 1)))
    assert found is not None
    assert found.value == 100
    forced = search(simple(train[:1], tune, together=(0, 1)))
    assert forced is not None
    assert forced.value == 2 + SPLIT


def test_parts_come_to_the_home_that_costs_least_together() -> None:
    one = [Entry(0, "aks", "northeurope", 10), Entry(1, "aks", "westeurope", 12)]
    two = [Entry(0, "aks", "westeurope", 10), Entry(1, "aks", "northeurope", 30)]
    found = search(simple(one, two, away=lambda part, home: 5))
    assert found is not None
    assert (found.home, found.value) == ("westeurope", 22)


def test_a_part_without_a_place_leaves_the_others_theirs() -> None:
    found = search(simple([], [Entry(0, "aks", "westeurope", 3)]))
    assert found is not None
    assert found.entries[0] is None
    assert found.entries[1] is not None
    assert found.value == NO_PLACE + 3


def test_of_equal_sums_the_preferred_home_wins() -> None:
    everywhere = [Entry(number, "aks", region, 1) for number, region in enumerate(REGIONS)]
    found = search(simple(everywhere, homes=("westeurope", "northeurope"), away=lambda p, h: 1))
    assert found is not None
    assert found.home == "westeurope"
    assert search(simple(everywhere, homes=())) is None
