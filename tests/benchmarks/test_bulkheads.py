from collections import Counter

from benchmarks.bulkheads import Load, Seen, ratio, result_of
from benchmarks.caller import Heard


def _heard(took_ms: float, statuses: dict[int, int]) -> Heard:
    return Heard(Counter(statuses), [took_ms / 1000] * sum(statuses.values()))


def _seen(took_ms: float, statuses: dict[int, int]) -> Seen:
    seen = Seen()
    seen.add(_heard(took_ms, statuses), _heard(1.0, {503: 2}))
    return seen


def test_the_ratio_is_that_of_the_middle_rounds() -> None:
    assert ratio([2.0, 9.0, 3.0], [8.0, 1.0, 1.5]) == 2.0


def test_the_worst_neighbour_and_every_failure_are_told() -> None:
    seen = {
        "alone": _seen(2.0, {200: 3}),
        "well": _seen(4.0, {200: 3}),
        "hang": _seen(4.0, {200: 3}),
        "crash": _seen(6.0, {200: 2, 503: 1}),
    }

    found = result_of(Load(), seen)

    assert (found["p99_ratio_hang"], found["p99_ratio_crash"]) == (1.0, 1.5)
    assert found["p99_ratio_worst"] == 1.5
    assert found["p99_ratio_well_to_alone"] == 2.0
    assert (found["failed_of_bystander"], found["crash_neighbour_answers"]) == (1, {"503": 2})
