"""A gap is what a killed gateway may have taken with it, and no end that wrote all is one."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plinth.kit.clock import from_text
from plinth.metering.gaps import gap_in
from plinth.units.ends import note_end

BEGAN = "2026-03-01T12:00:00.000000Z"
ENDED = "2026-03-01T12:10:00.000000Z"
KILLED = {
    "phase": "exited",
    "code": None,
    "signal": 9,
    "stopped": False,
    "reason": "ended by SIGKILL",
    "started_at": BEGAN,
    "ended_at": ENDED,
}


def line(tmp_path: Path, noticed_at: datetime | None = None, **changes: Any) -> bytes:
    """Return an end as the agent writes it."""
    path = tmp_path / "ends"
    note_end(path, "envoy", {**KILLED, **changes}, noticed_at or from_text(ENDED))
    return path.read_bytes()


def test_a_kill_leaves_half_a_second(tmp_path: Path) -> None:
    gap = gap_in(line(tmp_path))
    assert gap is not None
    assert gap.reason == "envoy: ended by SIGKILL"
    assert gap.ended_at == from_text(ENDED)
    assert gap.ended_at - gap.started_at == timedelta(seconds=0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"code": 0, "signal": None, "stopped": True, "reason": "stopped"},
        {"code": 0, "signal": None, "reason": None},
        {"code": 1, "signal": None, "reason": "exited with code 1"},
        {"signal": None, "started_at": None, "stopped": True},
    ],
    ids=["stopped", "asked to end by another", "ended by itself", "never ran"],
)
def test_who_ended_by_itself_wrote_its_log_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert gap_in(line(tmp_path, **changes)) is None


def test_a_stop_that_took_too_long_and_was_forced_is_a_gap(tmp_path: Path) -> None:
    assert gap_in(line(tmp_path, stopped=True, reason="stopped")) is not None


def test_an_end_that_nobody_saw_lies_between_the_last_sign_and_its_discovery(
    tmp_path: Path,
) -> None:
    noticed_at = from_text(ENDED) + timedelta(hours=8)
    lost = {"phase": "lost", "signal": None, "reason": "the machine was started anew"}
    gap = gap_in(line(tmp_path, noticed_at, **lost))
    assert gap is not None
    assert gap.started_at == from_text(ENDED) - timedelta(seconds=0.5)
    assert gap.ended_at == noticed_at


def test_a_clock_that_was_set_back_turns_no_gap_around(tmp_path: Path) -> None:
    noticed_at = from_text(ENDED) - timedelta(hours=1)
    gap = gap_in(line(tmp_path, noticed_at))
    assert gap is not None
    assert gap.started_at < noticed_at < from_text(ENDED) == gap.ended_at


@pytest.mark.parametrize(
    "content", [b"", b"x", b"[]", b"{}", b'{"ended_at": 1}', b'{"ended_at": "x"}']
)
def test_what_is_no_end_is_said(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        gap_in(content)


def test_a_field_that_is_missing_is_said(tmp_path: Path) -> None:
    whole = json.loads(line(tmp_path))
    for name in whole.keys() - {"code", "stopped"}:
        rest = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(ValueError, match="not an end"):
            gap_in(json.dumps(rest).encode())
