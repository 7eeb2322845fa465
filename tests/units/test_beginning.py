"""How long a unit ran does not depend on how the wall's clock is set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from plinth.units import beginning
from plinth.units.beginning import Beginning

START = Beginning(datetime(2026, 1, 1, tzinfo=UTC), since_boot_s=1000.0)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginning, "since_boot_s", lambda: 1090.25)


@pytest.mark.usefixtures("passed")
def test_an_end_is_the_beginning_and_what_has_passed() -> None:
    assert START.age_s() == 90.25
    assert START.until_now() == START.at + timedelta(seconds=90.25)


@pytest.mark.usefixtures("passed")
def test_it_is_read_from_an_identity_of_this_boot_only() -> None:
    identity = {"boot_id": "this", **START.to_json()}
    assert Beginning.of(identity, "this") == START
    assert Beginning.of(identity, "next") is None


def test_an_identity_of_an_older_plinth_has_none() -> None:
    assert Beginning.of({"boot_id": "b", "started_at": "2026-01-01T00:00:00.000000Z"}, "b") is None


def test_nothing_has_passed_since_now() -> None:
    assert 0.0 <= Beginning.now().age_s() < 60.0
