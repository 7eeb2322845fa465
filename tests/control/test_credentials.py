"""Envoy gets each credential once for each of its versions, and no more than it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.control import gateway_state
from plinth.control.credentials import Credentials, take
from plinth.control.gateway_state import Rows, read_rows
from plinth.kit.errors import NotFound
from plinth.store.audit import Filter, list_entries
from tests.control.endpoints.keeping import keep_secret
from tests.control.plane import TEAM, Plane

CHAT = {"url": "https://1.1.1.1/v1", "protocol": "openai", "credential": "secret:provider"}


@pytest.fixture
def place(plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(gateway_state, "credentials_folder", lambda _gateway: tmp_path)
    keep_secret(plane, "provider", b"sk-1")
    plane.apply(name="chat", external=CHAT)
    return tmp_path


def rows(plane: Plane) -> Rows:
    with plane.database.read() as connection:
        return read_rows(connection, plane.context)


def fence() -> None:
    """Nobody else publishes."""


def written(place: Path) -> dict[str, str]:
    return {each.parent.name: each.read_text() for each in place.glob("*/*.json")}


def test_a_value_is_written_when_it_is_new(plane: Plane, place: Path) -> None:
    credentials = Credentials(plane.context, fence)
    assert credentials.write(rows(plane)) == {}
    (text,) = written(place).values()
    assert "sk-1" in text
    # Nobody asks for the value again while the version is the same.
    (place / "chat.main" / "secret.json").unlink()
    assert credentials.write(rows(plane)) == {}
    assert written(place) == {}
    keep_secret(plane, "provider", b"sk-2")
    assert credentials.write(rows(plane)) == {}
    assert "sk-2" in written(place)["chat.main"]


def test_one_that_cannot_be_sent_holds_up_no_other(plane: Plane, place: Path) -> None:
    plane.apply(name="other", external=CHAT)
    keep_secret(plane, "second", b"sk-9")
    plane.apply(name="third", external={**CHAT, "credential": "secret:second"})
    credentials = Credentials(plane.context, fence)
    keep_secret(plane, "second", b"two\nlines")
    assert "cannot be sent" in credentials.write(rows(plane))["third.main"]
    assert set(written(place)) == {"chat.main", "other.main"}


def test_what_is_not_needed_any_more_goes_when_envoy_has_forgotten_it(
    plane: Plane, place: Path
) -> None:
    credentials = Credentials(plane.context, fence)
    credentials.write(rows(plane))
    plane.apply(name="other", external=CHAT)
    plane.apply(name="chat", external={**CHAT, "credential": None})
    now = rows(plane)
    credentials.write(now)
    assert set(written(place)) == {"chat.main", "other.main"}
    credentials.forget_others(now)
    assert set(written(place)) == {"other.main"}


def test_taking_a_credential_is_noted_and_an_absent_one_is_said(plane: Plane, place: Path) -> None:
    assert take(plane.context, "chat.main", "chat", TEAM, "provider") == b"sk-1"
    with plane.database.read() as connection:
        entries = list_entries(connection, Filter(action="read"), limit=10)
    assert [(each.subject, each.detail["purpose"]) for each in entries] == [
        ("secret/provider", "endpoint/chat")
    ]
    with pytest.raises(NotFound):
        take(plane.context, "chat.main", "chat", TEAM, "absent")
