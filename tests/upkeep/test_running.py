"""What of a home lives, by the locks that are held."""

from __future__ import annotations

from pathlib import Path

from plinth.kit.files import locked
from plinth.kit.home import Home
from plinth.upkeep.running import AGENT, is_held, living, ping


def test_nothing_lives_in_a_home_that_was_never_started(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    assert living(home) == []
    assert ping(home) is None


def test_the_agent_and_units_live_while_their_locks_are_held(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for unit in ("control", "envoy"):
        (home.units / unit).mkdir(parents=True)
        (home.units / unit / "lock").touch()
    assert living(home) == []
    with locked(home.units / "envoy" / "lock"):
        assert living(home) == ["envoy"]
        with locked(home.root / "agent.lock"):
            assert living(home) == [AGENT, "envoy"]


def test_asking_makes_no_lock_and_takes_none(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()
    with locked(tmp_path / "lock"):
        assert is_held(tmp_path / "lock")
    assert not is_held(tmp_path / "lock")
    with locked(tmp_path / "lock", wait=False) as free:
        assert free
