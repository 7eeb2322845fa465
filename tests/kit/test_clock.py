from datetime import UTC, datetime, timedelta, timezone

import pytest

from plinth.kit.clock import FakeClock, SystemClock, from_text, parse_moment, to_text


def test_the_system_clock_is_aware_and_its_seconds_never_go_back():
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


def test_the_fake_clock_moves_only_when_told():
    clock = FakeClock()
    start = clock.now()
    assert clock.now() == start
    clock.advance(90)
    assert clock.now() - start == timedelta(seconds=90)
    assert clock.monotonic() == 90


def test_a_time_survives_being_written_and_sorts_as_text():
    early = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    late = early + timedelta(microseconds=1)
    assert from_text(to_text(early)) == early
    assert to_text(early) < to_text(late)


def test_a_time_of_another_zone_is_written_in_utc():
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert to_text(noon) == "2026-01-01T10:00:00.000000Z"


def test_another_form_of_time_is_refused():
    with pytest.raises(ValueError, match="does not match"):
        from_text("2026-01-01 10:00")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-01", "2026-11-01T00:00:00.000000Z"),
        ("2026-11-01T08:30", "2026-11-01T08:30:00.000000Z"),
        ("2026-11-01T08:30:00.5Z", "2026-11-01T08:30:00.500000Z"),
        ("2026-11-01T08:30+02:00", "2026-11-01T06:30:00.000000Z"),
    ],
)
def test_a_day_or_a_time_is_read_as_a_person_writes_it(text, wanted):
    assert to_text(parse_moment(text)) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "today", "1.11.2026", "2026-13-01", "2026-11-01T", "20261101", "1999-12-31", "9999-12-31"],
)
def test_what_is_no_day_is_refused(text):
    with pytest.raises(ValueError, match="is not a day or a time; write it like"):
        parse_moment(text)
