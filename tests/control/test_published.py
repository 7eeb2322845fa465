"""What the gateway acknowledged is read by every control plane of the node."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.control.published import Published, Record, Refused
from plinth.domain.traffic import EndpointRoute
from plinth.kit.errors import Temporary
from plinth.kit.home import Home

PUBLISHED = Published(
    version="v",
    serving={"delay": {"blue": "r_a", "green": "delay.green"}},
    deployments=frozenset({"r_a", "delay.green", "r_b"}),
    files={"delay": "f"},
    refused={"chat": Refused("g", "no such host")},
    credentials={"delay.green": "it holds a space"},
    is_guarded=True,
)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    home = Home(tmp_path)
    home.gateway.mkdir()
    return Record(home)


def anybody() -> None:
    """Nobody else publishes."""


def test_what_is_noted_is_read_as_it_was(record: Record) -> None:
    assert record.read() is None
    record.write(PUBLISHED, anybody)
    assert record.read() == PUBLISHED
    routes = (EndpointRoute(name="delay", team="ops", callers=("p_a",)),)
    assert record.routes() == ()
    record.write_routes(routes, anybody)
    assert record.routes() == routes


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": "v", "serving": {"delay": "r_a"}, "deployments": []}'],
)
def test_what_another_version_noted_counts_for_nothing(
    content: str, record: Record, tmp_path: Path
) -> None:
    Home(tmp_path).gateway_record.write_text(content)
    assert record.read() is None
    (tmp_path / "gateway" / "routes.json").write_text(content)
    assert record.routes() == ()


def test_who_is_not_to_publish_any_more_notes_nothing(record: Record) -> None:
    def refuse() -> None:
        raise Temporary("somebody else publishes")

    with pytest.raises(Temporary):
        record.write(PUBLISHED, refuse)
    assert record.read() is None
