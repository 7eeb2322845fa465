"""Usage as a table and as JSON."""

from __future__ import annotations

from tests.cli.terminal import Terminal


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
