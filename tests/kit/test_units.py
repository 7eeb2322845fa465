from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.kit.units import (
    exact_bytes,
    exact_duration,
    format_bytes,
    format_duration,
    parse_bytes,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MB", 512_000_000),
        ("16GB", 16_000_000_000),
        ("2GiB", 2**31),
        ("1.5 kib", 1536),
        ("7", 7),
        (7, 7),
        ("0.1TB", 100_000_000_000),
        ("9007199254740993B", 9007199254740993),
    ],
)
def test_sizes_are_read_exactly(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "1XB", "-1GB", "1e9", "1 GB GB", "٣GB", "9" * 400, -1, True, 1.5e300]
)
def test_what_is_no_size_is_refused_with_the_accepted_forms(text):
    with pytest.raises(ValueError, match="is not a size; write it like"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90.0), ("15m", 900.0), ("2h", 7200.0), ("1d", 86400.0), (3, 3.0)],
)
def test_durations_are_read_as_seconds(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "1y", "-1s", "1:30", "1M", -1, True, float("nan")])
def test_what_is_no_duration_is_refused_with_the_accepted_forms(text):
    with pytest.raises(ValueError, match="is not a duration; write it like"):
        parse_duration(text)


@given(st.floats(0, 1e9))
def test_a_number_of_seconds_is_read_as_it_is(seconds):
    assert parse_duration(seconds) == seconds


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused_with_a_value_error(text):
    for parse in (parse_bytes, parse_duration):
        with suppress(ValueError):
            assert parse(text) >= 0


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1_500_000_000, "1.5 GB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes_are_written_for_people(size, text):
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2s"), (42, "42s"), (61, "1m 01s"), (3900, "1h 05m"), (90_000, "1d 01h")],
)
def test_durations_are_written_with_their_two_largest_units(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0"),
        (1, "1B"),
        (2**30, "1GiB"),
        (64 * 10**6, "64MB"),
        (2**50, "1024TiB"),
        (1536, "1536B"),
    ],
)
def test_a_size_without_rounding_is_read_again_as_it_was(size, shown):
    assert exact_bytes(size) == shown
    assert parse_bytes(shown) == size


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0"), (5, "5s"), (0.5, "0.5s"), (90, "90s"), (366 * 86400, "366d")]
)
def test_a_duration_without_rounding_is_read_again_as_it_was(seconds, shown):
    assert exact_duration(seconds) == shown
    assert parse_duration(shown) == seconds
