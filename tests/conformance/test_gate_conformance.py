"""What the gate relies on in Envoy: settings of hosts and routes, its own file, what it refuses."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plinth.gateway import gate
from plinth.gateway.browser import own_page, page_filters
from plinth.gateway.envoy_types import file_name
from plinth.gateway.module import module_settings
from plinth.gateway.resources import resources
from tests.conformance.stand import (
    Envoy,
    Json,
    Upstream,
    cluster,
    eventually,
    listener,
    routes,
    running_envoy,
    to,
)

LOG = {"code": "%RESPONSE_CODE%", "details": "%RESPONSE_CODE_DETAILS%"}
ANN = {"x-plinth-principal": "p_ann", "x-plinth-team": "ops", "x-plinth-key": "k_1"}
BROWSER = {**ANN, "x-plinth-browser": "k_1", "x-plinth-page": "mlflow"}
PAGE = "mlflow.localhost:1"


def _opened(path: str, settings: Json, **more: Any) -> Json:
    return to("up", {"path": path}, typed_per_filter_config=settings, **more)


def _listener(folder: Path) -> Json:
    ann = gate.allow_only(["p_ann"], ())
    answer = {"match": {"path": "/answer"}, "direct_response": {"status": 200}}
    found = routes(
        _opened("/ann", ann),
        _opened("/ops", gate.allow_only((), ["ops"], most=9)),
        _opened("/bob", gate.allow_only(["p_bob"], ())),
        to("up", {"path": "/closed"}),
        answer,
    )
    page = {
        "name": "page",
        "domains": [PAGE],
        "routes": [_opened("/ann", ann), _opened("/bob", gate.allow_only(["p_bob"], ()))],
        "typed_per_filter_config": own_page("mlflow", 1),
    }
    # A route's settings count, and the host's where it has none.
    host = {
        "name": "host",
        "domains": ["host"],
        "routes": [_opened("/bob", gate.allow_only(["p_bob"], ())), to("up")],
        "typed_per_filter_config": ann,
    }
    return listener(
        [*page_filters(), gate.gate_source(str(folder))],
        {"virtual_hosts": [*found["virtual_hosts"], page, host]},
        name="gate",
        log_fields=LOG,
    )


@dataclass
class Stand:
    """The Envoy of this module, the server behind it, and the file of its gate."""

    envoy: Envoy
    upstream: Upstream
    folder: Path
    count: int = 0

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> int:
        """Return the code of the answer; `line` tells what the log says of it."""
        self.count += 1
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.envoy.ask(path, body, headers=named, listener="gate").status

    @property
    def details(self) -> str:
        """Why the last request was refused."""
        return str(self.envoy.log(self.count)[-1]["details"])

    def revoke(self, *keys: str) -> None:
        """Replace the revoked keys and wait until Envoy has them."""
        self.write(gate.gate_filter(keys))

    def write(self, item: Json) -> None:
        """Replace the file and wait until Envoy has taken it or not."""
        path, content = self.folder / gate.GATE_KIND, resources([item])
        path.mkdir(exist_ok=True)
        draft = self.folder / "draft"
        draft.write_bytes(content.to_bytes())
        before = self.taken()
        draft.replace(path / file_name(gate.GATE_KIND))
        if before and content.version not in str(before):
            assert eventually(lambda: self.taken() != before)

    def taken(self) -> list[Any]:
        """Return which version Envoy has, and how many it has refused."""
        if not hasattr(self, "envoy"):
            return []
        pattern = "http_filter.plinth.gate.(version_text|update_rejected)"
        return sorted(self.envoy.stats(pattern).items())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Start one Envoy with a gate."""
    upstream, folder = Upstream(), tmp_path_factory.mktemp("configuration")
    stand = Stand.__new__(Stand)
    stand.folder, stand.upstream, stand.count = folder, upstream, 0
    stand.revoke("k_0")
    with running_envoy([_listener(folder)], [cluster("up", upstream.port)]) as envoy:
        stand.envoy = envoy
        yield stand
    upstream.end()


@pytest.fixture
def stand(running: Stand) -> Stand:
    """Return it with nothing seen yet."""
    running.upstream.seen.clear()
    return running


def test_a_route_is_closed_unless_its_settings_open_it(stand: Stand) -> None:
    for path, status in (
        ("/ann", 200),
        ("/ops", 200),
        ("/bob", 403),
        ("/closed", 403),
        ("/answer", 403),
        ("/nowhere", 403),
    ):
        assert stand.ask(path, **ANN) == status, path
        assert stand.details == ("via_upstream" if status == 200 else "plinth_denied[none]")
    assert len(stand.upstream.seen) == 2


def test_a_routes_settings_count_and_else_its_hosts(stand: Stand) -> None:
    assert stand.ask("/any", **ANN, host="host") == 200
    assert stand.ask("/bob", **ANN, host="host") == 403


def test_what_is_refused_reaches_no_server_however_its_body_comes(stand: Stand) -> None:
    for body in (b"", b"x" * 5, b"x" * 3_000_000):
        try:
            assert stand.ask("/bob", body, **ANN) == 403
        except ConnectionError:
            # It may answer while the body is still being sent.
            assert len(body) > 5
        assert stand.details == "plinth_denied[none]"
    assert stand.upstream.seen == []


def test_a_connection_goes_on_after_a_refusal(stand: Stand) -> None:
    with stand.envoy.connect("gate") as connection:
        for path, status in (("/bob", 403), ("/ann", 200), ("/bob", 403)):
            head = "".join(f"{name}: {value}\r\n" for name, value in ANN.items())
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n{head}\r\n".encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.read()
            assert answer.status == status
            stand.count += 1


def test_a_body_is_measured_by_what_the_codec_read(stand: Stand) -> None:
    assert stand.ask("/ops", b"x" * 9, **ANN) == 200
    assert stand.ask("/ops", b"x" * 10, **ANN) == 403
    assert stand.details == "plinth_denied[too-large-here]"
    with stand.envoy.connect("gate") as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in ANN.items())
        start = f"POST /ops HTTP/1.1\r\nhost: a\r\n{head}transfer-encoding: chunked\r\n\r\n"
        connection.sendall(start.encode() + b"1\r\nx\r\n0\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 403
        stand.count += 1
    assert stand.details == "plinth_denied[too-large-here]"


def test_revoked_keys_come_by_a_file_and_hold_for_open_connections(stand: Stand) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in ANN.items())
    with stand.envoy.connect("gate") as connection:
        for revoked, status in ((["k_0"], 200), (["k_1", "k_0"], 403), ([], 200)):
            stand.revoke(*revoked)
            connection.sendall(f"GET /ann HTTP/1.1\r\nhost: a\r\n{head}\r\n".encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.read()
            assert answer.status == status
            stand.count += 1
            if status == 403:
                assert stand.details == "plinth_denied[revoked]"


def test_a_file_that_the_gate_cannot_read_changes_nothing(stand: Stand) -> None:
    stand.revoke("k_9")
    damaged = gate.gate_filter(["k_1"])
    damaged["typed_config"]["filter_name"] = "none of ours"
    stand.write(damaged)
    assert stand.ask("/ann", **ANN) == 200
    assert stand.ask("/ann", **{**ANN, "x-plinth-key": "k_9"}) == 403
    stand.revoke("k_0")


def test_a_browsers_key_counts_on_the_page_whose_filters_see_it(stand: Stand) -> None:
    read = {"sec-fetch-site": "same-origin"}
    assert stand.ask("/ann", **BROWSER, **read) == 403
    assert stand.details == "plinth_denied[other-page]"
    assert stand.ask("/ann", **BROWSER, **read, host=PAGE) == 200
    (seen,) = stand.upstream.seen
    assert (seen.header("x-plinth-browser"), seen.header("x-plinth-page")) == (None, None)
    # It is still to be granted what stands there.
    assert stand.ask("/bob", **BROWSER, **read, host=PAGE) == 403
    assert stand.details == "plinth_denied[none]"
    assert stand.ask("/ann", **BROWSER, sec_fetch_site="cross-site", host=PAGE) == 403
    assert stand.details == "rbac_access_denied_matched_policy[strange-page]"
    other = {**BROWSER, "x-plinth-page": "console"}
    assert stand.ask("/ann", **other, **read, host=PAGE) == 403
    assert stand.details == "rbac_access_denied_matched_policy[other-page]"


def test_settings_of_a_route_that_are_none_are_refused(stand: Stand) -> None:
    damaged = _opened("/x", {gate.GATE: module_settings("granted", "everyone")})
    found = listener([*page_filters()], routes(damaged), name="x", log_fields=LOG)
    text = json.dumps(found)
    assert "everyone" in text
    with pytest.raises(AssertionError), running_envoy([found], []):
        pass
