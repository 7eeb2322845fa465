"""The newest requests are read as they come, over rotations, and summed up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plinth.control import recent
from plinth.control.recent import read_on, sum_up, to_json, total
from plinth.gateway.access_log import AccessRecord
from plinth.gateway.names import way_cluster
from plinth.kit.errors import Invalid
from plinth.metering.rotation import rotate
from tests.control.test_metering import line

# When the lines of `line()` begin.
AT = datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
CHAT = {"route": "endpoint:chat", "path": "/v1/chat/completions"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def append(log: Path, *contents: bytes) -> None:
    with log.open("ab") as file:
        file.write(b"".join(contents))


def ids(log: Path, cursor: str | None) -> tuple[list[str], str]:
    page = read_on(log, cursor)
    return [each.request_id for each in page.records], page.cursor


def test_lines_are_read_once_each_and_half_a_line_when_it_is_whole(log: Path) -> None:
    append(log, line(id="a"), line(id="b")[:20])
    found, cursor = ids(log, None)
    assert found == ["a"]
    assert ids(log, cursor) == ([], cursor)
    append(log, line(id="b")[20:], line(id="c"))
    assert ids(log, cursor)[0] == ["b", "c"]


def test_a_log_that_was_renamed_is_read_to_its_end_first(log: Path) -> None:
    append(log, line(id="a"))
    _, cursor = ids(log, None)
    append(log, line(id="b"))
    rotate(log, AT)
    append(log, line(id="c"))
    found = []
    for _ in range(4):
        new, cursor = ids(log, cursor)
        found += new
    assert found == ["b", "c"]


def test_where_the_log_is_gone_reading_begins_anew(log: Path) -> None:
    assert ids(log, None) == ([], "0.0")
    assert ids(log, "12.7") == ([], "12.7")
    append(log, line(id="a"))
    assert ids(log, "999999999999.7")[0] == ["a"]


def test_of_a_long_log_only_the_newest_whole_lines_come_first(log: Path) -> None:
    append(log, *(line(id=f"q{number}") for number in range(1000)))
    found, _ = ids(log, None)
    assert found[-1] == "q999"
    assert 100 < len(found) < 1000


@pytest.mark.parametrize("cursor", ["", "1", "1.", ".1", "a.b", "-1.0", "1.0.0", "١.٢"])
def test_what_is_no_place_is_refused(log: Path, cursor: str) -> None:
    with pytest.raises(Invalid, match="is no place in the log"):
        read_on(log, cursor)


def test_a_place_beyond_all_numbers_finds_nothing(log: Path) -> None:
    append(log, line())
    place = f"{log.stat().st_ino}.{'9' * 30}"
    assert read_on(log, place).records == ()


def everything(_record: AccessRecord) -> bool:
    return True


def test_the_last_minute_is_summed_up_by_endpoint(log: Path) -> None:
    usage = '{"prompt_tokens": 9, "completion_tokens": 3}'
    append(
        log,
        line(id="old", start=f"{AT.timestamp() - 120}"),
        line(**CHAT, usage=usage),
        line(**CHAT, code=503, cluster=way_cluster("chat"), served="chat.b", attempts=2),
        line(**CHAT, code=0, attempts=0, details="x"),
        line(route="api"),
        line(),
    )
    found = sum_up(log, AT + timedelta(seconds=30), 60.0, everything)
    assert {name: each.requests for name, each in found.items()} == {"chat": 3, "delay": 1}
    chat = found["chat"].to_json()
    assert (chat["errors"], chat["spilled"], chat["error_share"]) == (2, 1, 0.6667)
    assert (chat["input_tokens"], chat["output_tokens"]) == (9, 3)
    assert total(found.values(), 60.0).to_json()["requests_per_second"] == round(4 / 60, 2)
    assert sum_up(log, AT, 60.0, lambda record: record.endpoint == "delay").keys() == {"delay"}


def test_what_stands_in_a_log_that_was_just_renamed_is_summed_up_too(log: Path) -> None:
    append(log, line(**CHAT))
    rotate(log, AT)
    assert sum_up(log, AT, 60.0, everything)["chat"].requests == 1
    append(log, line(**CHAT))
    assert sum_up(log, AT, 60.0, everything)["chat"].requests == 2


def test_of_too_much_for_one_reading_the_seconds_say_how_far_it_reaches(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "_SUMMED", 3 * len(line()) + 10)
    starts = (f"{AT.timestamp() - 40 + 10 * number}" for number in range(5))
    append(log, *(line(start=start) for start in starts))
    found = sum_up(log, AT + timedelta(seconds=0.25), 60.0, everything)["delay"]
    assert (found.requests, found.seconds) == (3, 20.0)


def test_nothing_came_is_no_share(log: Path) -> None:
    assert sum_up(log, AT, 60.0, everything) == {}
    nothing = total([], 60.0).to_json()
    assert (nothing["requests_per_second"], nothing["error_share"]) == (0.0, None)


def test_a_line_for_people_has_no_key(log: Path) -> None:
    append(log, line(**CHAT, usage=None, tx=40))
    (record,) = read_on(log, None).records
    shown: dict[str, Any] = to_json(record)
    assert "k_a" not in shown.values()
    assert (shown["code"], shown["input_tokens"], shown["estimated"]) == (200, 3, True)
