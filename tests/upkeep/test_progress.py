"""How far a backup is: said at the beginning and the end, and not too often between."""

from __future__ import annotations

from plinth.upkeep.progress import Counter, say_nothing


def test_bytes_add_up_and_are_not_told_one_by_one() -> None:
    said: list[tuple[str, int, int]] = []
    counter = Counter(lambda *words: said.append(words), "writing", 10_000)
    for _ in range(10_000):
        counter.add(1)
    counter.end()
    assert said[0] == ("writing", 0, 10_000)
    assert said[-1] == ("writing", 10_000, 10_000)
    assert len(said) < 1000


def test_more_than_was_expected_is_no_more_than_all() -> None:
    said: list[tuple[str, int, int]] = []
    counter = Counter(lambda *words: said.append(words), "writing", 10)
    counter.add(15)
    counter.end()
    assert said[-1] == ("writing", 15, 15)
    say_nothing("writing", 0, 0)
