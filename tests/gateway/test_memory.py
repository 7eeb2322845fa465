from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from plinth.domain.serving import External, TrafficPolicy
from plinth.gateway import snapshot
from plinth.gateway.memory import Memory
from plinth.gateway.snapshot import GatewayState
from tests.gateway.test_snapshot import BUSY, CHAT, DELAY, EMPTY, PRICE, deployment

MORE = CHAT.model_copy(update={"callers": ("p_ann", "p_bob")})
LARGER = CHAT.model_copy(update={"policy": TrafficPolicy(max_body=8 * 2**20)})
OWN = DELAY.model_copy(update={"deployments": (deployment("r_other", "/home/run/o.sock"),)})
THEIRS = PRICE.model_copy(
    update={
        "deployments": (
            deployment("price.b").model_copy(
                update={
                    "external": External(url="https://1.1.1.1/v1", protocol="open-inference"),
                }
            ),
        )
    }
)
STATES = [
    BUSY,
    EMPTY,
    replace(BUSY, endpoints=(DELAY, PRICE, MORE)),
    replace(BUSY, endpoints=(PRICE, CHAT)),
    replace(BUSY, endpoints=(OWN, THEIRS, LARGER)),
    replace(BUSY, endpoints=(OWN, THEIRS, LARGER), allow_private_upstreams=True),
    replace(BUSY, platform="p_other"),
    replace(BUSY, is_guarded=True, revoked=()),
    replace(BUSY, writers=(), revoked=("k_new",)),
    replace(BUSY, port=9000, control_planes=("control", "control-2")),
    BUSY,
]


def hosts(found: snapshot.Snapshot) -> dict[str, Any]:
    return {each["name"]: each for each in found.routes.items[0]["virtual_hosts"]}


def test_what_is_rendered_is_the_same_whatever_was_rendered_before() -> None:
    memory = Memory()
    for state in STATES:
        assert snapshot.render(state, memory) == snapshot.render(state)


def test_what_did_not_change_is_not_made_again() -> None:
    memory = Memory()
    other = CHAT.model_copy(update={"name": "other"})
    before = hosts(snapshot.render(replace(BUSY, endpoints=(CHAT, other)), memory))
    # The rows are read anew each time: an equal endpoint is as good as the same one.
    again = other.model_copy(deep=True)
    after = hosts(snapshot.render(replace(BUSY, endpoints=(MORE, again), revoked=()), memory))
    assert after["endpoint:other"] is before["endpoint:other"]
    assert after["endpoint:chat"] != before["endpoint:chat"]


@pytest.mark.parametrize(
    "state", [replace(BUSY, platform="p_other"), replace(BUSY, endpoints=(LARGER, DELAY))]
)
def test_what_an_endpoint_shares_with_all_is_never_remembered_wrongly(state: GatewayState) -> None:
    memory = Memory()
    snapshot.render(BUSY, memory)
    assert snapshot.render(state, memory).version == snapshot.render(state).version


def test_who_is_not_there_any_more_is_forgotten() -> None:
    memory = Memory()
    snapshot.render(BUSY, memory)
    snapshot.render(EMPTY, memory)
    assert memory.recall("host", CHAT, lambda: "made") == "made"
    assert memory.recall("host", CHAT, lambda: "again") == "again"


def test_what_is_of_no_endpoint_is_made_once_for_what_it_depends_on() -> None:
    memory = Memory()
    made = [memory.once("pages", key, lambda key=key: f"of {key}") for key in ("a", "a", "b")]
    assert made == ["of a", "of a", "of b"]
    first, second = (
        snapshot.render(replace(BUSY, endpoints=each), memory) for each in ((CHAT,), (DELAY,))
    )
    assert first.listeners is second.listeners
