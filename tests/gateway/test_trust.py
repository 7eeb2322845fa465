from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

from plinth.gateway import trust


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(trust.VARIABLE, raising=False)
    trust.authorities.cache_clear()
    yield
    trust.authorities.cache_clear()


def test_the_machines_own_list_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "ca.crt"
    own.touch()
    monkeypatch.setattr(trust, "PLACES", ("/nowhere", str(own)))
    assert trust.authorities() == str(own)


def test_without_a_list_of_the_machine_there_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "PLACES", ("/nowhere",))
    assert trust.authorities() == certifi.where()


def test_who_chose_a_list_has_that_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = tmp_path / "mine.pem"
    monkeypatch.setenv(trust.VARIABLE, str(chosen))
    assert trust.authorities() != str(chosen)
    chosen.touch()
    trust.authorities.cache_clear()
    assert trust.authorities() == str(chosen)
