"""How a server elsewhere stands is said with what to do."""

from __future__ import annotations

from typing import Any

from plinth.api.health_view import health_view
from plinth.control.endpoints.health import Health
from plinth.domain.serving import External

CHAT = External(url="https://1.1.1.1/v1", protocol="openai", credential="secret:provider")


def view(**changed: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"team": "ops", "has_key": True, "trouble": None, "health": None}
    return health_view(CHAT, **(usual | changed))


def test_a_credential_that_is_gone_comes_before_all_else() -> None:
    ill = Health("unhealthy", "2026-11-23T10:00:00+00:00", "it could not be reached")
    gone = view(has_key=False, health=ill)
    assert (gone["state"], gone["since"]) == ("no credential", None)
    assert "team `ops` has no secret `provider`" in gone["why"]
    assert "plinth secrets set provider --team ops" in gone["hint"]


def test_a_credential_that_cannot_be_sent_says_why() -> None:
    old = view(trouble="it holds a space")
    assert (old["state"], old["why"]) == ("old credential", "it holds a space")


def test_what_nobody_has_asked_is_unknown() -> None:
    unknown = view()
    assert unknown["state"] == "unknown"
    assert "`health: {path: ...}`" in unknown["hint"]


def test_who_does_not_answer_is_told_with_since_when() -> None:
    since = "2026-11-23T10:00:00+00:00"
    ill = view(health=Health("unhealthy", since, "it could not be reached"))
    assert (ill["state"], ill["since"], ill["why"]) == (
        "unhealthy",
        since,
        "it could not be reached",
    )
    assert "`health: {path: ...}`" in ill["hint"]
    asked = "`health` in its file asks it, and it does not answer as it should"
    assert "health: {" not in view(health=Health("unhealthy", since, asked))["hint"]
    assert view(health=Health("healthy", since, "it answers"))["hint"] is None
