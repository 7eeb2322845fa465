from __future__ import annotations

import json

import pytest

from plinth.gateway import snapshot
from plinth.gateway.resources import clusters_in, hosts_in, resources
from tests.gateway.test_memory import STATES
from tests.gateway.test_snapshot import BUSY

BUSIEST = STATES[4]


def test_the_clusters_of_a_file_are_read_back() -> None:
    clusters = snapshot.render(BUSIEST).clusters
    assert tuple(clusters_in(clusters.to_bytes())) == clusters.items
    names = {each["name"] for each in clusters.items}
    assert clusters_in(clusters.to_bytes(), without=names) == []


def test_what_was_read_back_is_written_as_it_stood() -> None:
    clusters = snapshot.render(BUSIEST).clusters
    assert resources(clusters_in(clusters.to_bytes())) == clusters


def test_the_hosts_of_a_file_are_read_back() -> None:
    inner = snapshot.render(BUSIEST).inner
    (routes,) = inner.items
    assert hosts_in(inner.to_bytes()) == routes["virtual_hosts"]
    assert hosts_in(inner.to_bytes(), without={"price.b"}) == []


@pytest.mark.parametrize("file", [None, b"", b"{}", b'{"resources":[]}', b"\xff" * 40])
def test_a_file_of_somebody_elses_holds_nothing(file: bytes | None) -> None:
    assert clusters_in(file) == []
    assert hosts_in(file) == []


def test_small_kinds_are_json_that_people_can_read() -> None:
    rendered = snapshot.render(BUSY)
    for kind, content in rendered.by_kind().items():
        if kind not in ("cds", "rds", "inner"):
            assert json.loads(content.to_bytes())["version_info"] == content.version
