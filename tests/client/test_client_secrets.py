"""The client sets, lists and deletes secrets, and rotates the master key."""

from __future__ import annotations

import pytest

from plinth.client.client import Client
from plinth.control.secrets import read_secret
from plinth.kit.errors import NotFound, PlinthError, TooLarge
from tests.api.service import TEAM, Service


def test_secrets_come_and_go(service: Service, client: Client) -> None:
    made = client.set_secret("openai", b"\x00\xff", team=TEAM)
    assert made == {"team": TEAM, "name": "openai", "version": 1}
    assert read_secret(service.plane.context, TEAM, "openai", purpose="t") == b"\x00\xff"
    assert client.set_secret("mine", b"x")["team"] == "default"
    assert [each["name"] for each in client.secrets()] == ["mine", "openai"]
    assert [each["name"] for each in client.secrets(team=TEAM)] == ["openai"]
    assert client.rotate_master_key()["rewrapped"] == 2
    assert client.delete_secret("openai", team=TEAM)["uses"] == ["t"]
    assert client.delete_secret("mine")["team"] == "default"
    assert client.secrets() == []


def test_errors_keep_their_kind(client: Client) -> None:
    with pytest.raises(NotFound, match="has no secret"):
        client.delete_secret("absent", team=TEAM)
    with pytest.raises(TooLarge):
        client.set_secret("openai", b"x" * 65_537, team=TEAM)


@pytest.mark.parametrize("name", ["../keys", "a/b", "a?b", "%2e%2e"])
def test_a_name_is_one_part_of_the_path(client: Client, name: str) -> None:
    with pytest.raises(PlinthError, match=r"is not a name|Not Found"):
        client.delete_secret(name, team=TEAM)
