"""Counters are written as Prometheus reads them."""

from __future__ import annotations

from datetime import UTC, datetime

from plinth.metering.counters import Counter, Family, Kind, Series, add_counts, observed, to_text

AT = datetime(2026, 3, 1, tzinfo=UTC)
REQUESTS = Family("requests_total", Kind.COUNTER, "What came.\nAnd went.")
SECONDS = Family("seconds", Kind.HISTOGRAM, "How long.", (0.1, 1.0))


def counter(name: str, value: float, **labels: str) -> Counter:
    return Counter(Series(name, tuple(labels.items())), value, AT)


def counters(*observations: float, **labels: str) -> list[Counter]:
    counts: dict[Series, float] = {}
    for value in observations:
        add_counts(
            counts, observed(Series("seconds", tuple(labels.items())), value, SECONDS.bounds)
        )
    return [Counter(series, value, AT) for series, value in counts.items()]


def test_a_family_has_its_text_its_type_and_its_series_in_order() -> None:
    found = [counter("requests_total", 2.0, team="ops"), counter("requests_total", 1.5, team="dev")]
    assert to_text([REQUESTS, SECONDS], found) == (
        "# HELP requests_total What came.\\nAnd went.\n"
        "# TYPE requests_total counter\n"
        'requests_total{team="dev"} 1.5\n'
        'requests_total{team="ops"} 2\n'
    )


def test_what_could_end_a_label_is_escaped() -> None:
    text = to_text([REQUESTS], [counter("requests_total", 1.0, team='a"b\\c\nd')])
    assert text.endswith('requests_total{team="a\\"b\\\\c\\nd"} 1\n')


def test_a_histogram_adds_up_what_is_below_each_bound() -> None:
    assert to_text([SECONDS], counters(0.05, 0.1, 0.5, 7.0, endpoint="chat")) == (
        "# HELP seconds How long.\n"
        "# TYPE seconds histogram\n"
        'seconds_bucket{endpoint="chat",le="0.1"} 2\n'
        'seconds_bucket{endpoint="chat",le="1"} 3\n'
        'seconds_bucket{endpoint="chat",le="+Inf"} 4\n'
        'seconds_sum{endpoint="chat"} 7.65\n'
        'seconds_count{endpoint="chat"} 4\n'
    )


def test_no_counters_are_no_text() -> None:
    assert to_text([REQUESTS, SECONDS], []) == ""
