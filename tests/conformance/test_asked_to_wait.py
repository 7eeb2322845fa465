"""For how long a server that asks for it is left alone, as Envoy's Lua reads its wish."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plinth.gateway.spill import spill_filters, watch
from tests.conformance.stand import (
    Envoy,
    Upstream,
    answering,
    cluster,
    listener,
    routes,
    running_envoy,
    to,
)
from tests.gateway.upstreams import hosted

WISHES = {"number": "99999999", "long": "9" * 400, "date": "Fri, 31 Dec 9999 23:59:59 GMT"}


@pytest.fixture(scope="module")
def envoy() -> Iterator[Envoy]:
    """Start one Envoy with a server for each wish, each behind a valve."""
    ways = [
        to(name, {"path": f"/{name}"}, typed_per_filter_config=watch(valve=hosted(name)))
        for name in WISHES
    ]
    servers = {name: Upstream() for name in WISHES}
    for name, server in servers.items():
        server.answer = answering({}, 429, headers=[("retry-after", WISHES[name])])
    clusters = [cluster(name, server.port) for name, server in servers.items()]
    with running_envoy([listener(spill_filters(), routes(*ways))], clusters) as running:
        yield running
    for server in servers.values():
        server.end()


@pytest.mark.parametrize("form", WISHES)
def test_a_wish_counts_for_an_hour_at_most(envoy: Envoy, form: str) -> None:
    assert envoy.ask(f"/{form}").status == 429
    answer = envoy.ask(f"/{form}")
    assert answer.status == 503
    assert 3590 <= int(answer.headers["retry-after"]) <= 3600
