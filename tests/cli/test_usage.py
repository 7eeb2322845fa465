"""Usage as a table and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from plinth.domain.usage import Gap
from tests.cli.terminal import Terminal
from tests.control.test_metering import CHAT, access_log, line

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
GAP = Gap(
    source="ends:a",
    position="1",
    reason="envoy: ended by SIGKILL",
    started_at=AT,
    ended_at=AT + timedelta(seconds=0.5),
)


def test_what_was_used_is_shown_by_team_and_workload(terminal: Terminal) -> None:
    plane = terminal.service.plane
    assert "nothing was used yet" in terminal("usage").err
    run = plane.submit()
    plane.until(lambda: plane.run(run).phase == "running")
    plane.step(2000)
    out = terminal("usage").out
    assert all(word in out for word in ("research", "job/train", "2,000."))
    (row,) = terminal("usage", "--json").json
    assert row["requests"] == 0


def test_tokens_are_shown_with_their_parts_and_how_many_are_estimates(terminal: Terminal) -> None:
    plane = terminal.service.plane
    usage = '{"prompt_tokens": 9000, "completion_tokens": 7, "cached": 5000}'
    chat = {**CHAT, "usage": usage}
    lines = [line(id="q1", **chat), line(id="q2", **{**CHAT, "usage": None})]
    access_log(plane).write_bytes(b"".join(lines))
    (plane.home.gateway / "shadow.log").write_bytes(line(owner="models", **chat))
    plane.parts.metering.collect()
    said = terminal("usage")
    assert "9,003 (5,000 cached)" in said.out
    assert "endpoint/chat (shadow)" in said.out
    assert "8 of the tokens are estimates: nobody reported them" in said.err


def test_gaps_are_shown_with_their_times_and_reasons(terminal: Terminal) -> None:
    assert "no request is missing" in terminal("usage", "--gaps").err
    ledger = terminal.service.plane.context.ledger
    ledger.commit("ends:a", [], expected=None, cursor="1", gaps=[GAP])
    (row,) = terminal("usage", "--gaps", "--json").json
    assert row == GAP.model_dump(mode="json")
    out = terminal("usage", "--gaps").out
    assert all(str(row[name]) in out for name in ("started_at", "ended_at", "reason"))


def test_the_status_says_what_is_missing_in_the_usage(terminal: Terminal) -> None:
    assert "usage" not in terminal("status").out
    ledger = terminal.service.plane.context.ledger
    ledger.commit("ends:a", [], expected=None, cursor="1", gaps=[GAP], unreadable=2)
    out = terminal("status").out
    assert "1 gap, the latest 2026-03-01T12:00:00Z to 2026-03-01T12:00:00.500000Z" in out
    assert "2 lines of logs cannot be read" in out
    assert terminal("status", "--json").json["usage"] == {
        "gaps": 1,
        "latest_gaps": [GAP.model_dump(mode="json")],
        "unreadable_lines": 2,
    }
