"""What the gate relies on in Envoy: settings of hosts and routes, its own file, what it refuses,
and how it asks Envoy's own filter for keys behind an inner listener."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plinth.access import keyring, tokens
from plinth.access.keyring import Keyring
from plinth.access.tokens import Claims
from plinth.domain.traffic import cookie_name
from plinth.gateway import gate
from plinth.gateway.bootstrap import inner_bootstrap
from plinth.gateway.browser import own_page
from plinth.gateway.envoy_types import FILTER, TYPE_PREFIX, file_name
from plinth.gateway.identity import filters, verification
from plinth.gateway.module import module_settings
from plinth.gateway.resources import resources
from plinth.gateway.verifier import VERIFIER, verifier_cluster, verifier_listener
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

LOG = {
    "code": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "number": "%REQ(X-NUMBER)%",
}
PORT = 1
PAGE = f"mlflow.localhost:{PORT}"
READ = {"sec-fetch-site": "same-origin"}


def _opened(path: str, settings: Json, **more: Any) -> Json:
    return to("up", {"path": path}, typed_per_filter_config=settings, **more)


def _listener(folder: Path) -> Json:
    ann, bob = gate.allow_only(["p_ann"], ()), gate.allow_only(["p_bob"], ())
    answer = {"match": {"path": "/answer"}, "direct_response": {"status": 200}}
    found = routes(
        _opened("/ann", ann),
        _opened("/ops", gate.allow_only((), ["ops"], most=9)),
        _opened("/large", gate.allow_only((), ["ops"], most=50_000_000)),
        _opened("/bob", bob),
        _opened("/any", gate.allow_anybody()),
        to("up", {"path": "/closed"}),
        answer,
    )
    page = {
        "name": "page",
        "domains": [PAGE],
        "routes": [_opened("/ann", ann), _opened("/bob", bob)],
        "typed_per_filter_config": own_page("mlflow", PORT),
    }
    # A route's settings count, and the host's where it has none.
    host = {
        "name": "host",
        "domains": ["host"],
        "routes": [_opened("/bob", bob), to("up")],
        "typed_per_filter_config": ann,
    }
    return listener(
        filters(str(folder)),
        {"virtual_hosts": [*found["virtual_hosts"], page, host]},
        name="gate",
        log_fields=LOG,
    )


@dataclass
class Stand:
    """The Envoy of this module, the server behind it, and the files of its gate."""

    envoy: Envoy
    upstream: Upstream
    folder: Path
    ring: Keyring
    count: int = 0

    def key(
        self,
        principal: str = "p_ann",
        key_id: str = "k_1",
        *,
        lives_s: int = 600,
        page: str | None = None,
    ) -> str:
        """Make a key of the team `ops`, another one each time."""
        end = datetime.now(UTC) + timedelta(seconds=lives_s)
        return tokens.mint(self.ring, Claims(principal, "ops", key_id, end, page=page))

    def ask(self, path: str, key: str | None, body: bytes | None = None, **headers: str) -> int:
        """Return the code of the answer; `details` tells what the log says of it."""
        self.count += 1
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["x-number"] = str(self.count)
        if key is not None:
            named["authorization"] = f"Bearer {key}"
        return self.envoy.ask(path, body, headers=named, listener="gate").status

    def say(self, connection: socket.socket, path: str, key: str, body: bytes = b"") -> int:
        """Send a request on a connection that stays; the body comes in pieces behind the head."""
        self.count += 1
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nhost: a\r\n"
        head += f"authorization: Bearer {key}\r\nx-number: {self.count}\r\n"
        length = f"content-length: {len(body)}\r\n" if body else ""
        connection.sendall(f"{head}{length}\r\n".encode())
        for at in range(0, len(body), 100_000):
            connection.sendall(body[at : at + 100_000])
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer.status

    @property
    def details(self) -> str:
        """Why the last request was refused."""
        lines: list[Json] = []

        def is_written() -> bool:
            lines[:] = [each for each in self.envoy.log(0) if each["number"] == str(self.count)]
            return bool(lines)

        assert eventually(is_written)
        return str(lines[0]["details"])

    def verified(self) -> int:
        """Return how many keys Envoy's own filter was asked about."""
        found = self.envoy.stats(f"^http.{VERIFIER}.downstream_rq_completed$")
        return sum(found.values())

    def revoke(self, *keys: str) -> None:
        """Replace the revoked keys and wait until Envoy has them."""
        self.write(gate.GATE_KIND, gate.gate_filter(keys, self.ring.public_jwks()))

    def sign(self, ring: Keyring) -> None:
        """Have other signing keys count: first for Envoy's own filter, then for the gate."""
        self.ring = ring
        self.write("ecds", {"@type": FILTER, **verification(ring.public_jwks(), PORT)})
        self.revoke()

    def write(self, kind: str, item: Json) -> None:
        """Replace a file and wait until Envoy has taken it or not."""
        path, content = self.folder / kind, resources([item])
        path.mkdir(exist_ok=True)
        draft = self.folder / "draft"
        draft.write_bytes(content.to_bytes())
        before = self.taken()
        draft.replace(path / file_name(kind))
        if before and content.version not in str(before):
            assert eventually(lambda: self.taken() != before)

    def taken(self) -> list[Any]:
        """Return which versions Envoy has, and how many it has refused."""
        if not hasattr(self, "envoy"):
            return []
        pattern = "http_filter.plinth.(gate|who).(version_text|update_rejected)"
        return sorted(self.envoy.stats(pattern).items())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Start one Envoy with a gate."""
    upstream, folder = Upstream(), tmp_path_factory.mktemp("configuration")
    stand = Stand.__new__(Stand)
    stand.folder, stand.upstream, stand.count = folder, upstream, 0
    stand.sign(keyring.ensure(folder / "secrets", datetime.now(UTC)))
    inner = {key: value for key, value in verifier_cluster().items() if key != "@type"}
    verifier = {k: v for k, v in verifier_listener(str(folder)).items() if k != "@type"}
    with running_envoy(
        [_listener(folder), verifier],
        [cluster("up", upstream.port), inner],
        bootstrap_extensions=[inner_bootstrap()],
    ) as envoy:
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
        ("/any", 200),
        ("/bob", 403),
        ("/closed", 403),
        ("/answer", 403),
        ("/nowhere", 403),
    ):
        assert stand.ask(path, stand.key()) == status, path
        assert stand.details == ("via_upstream" if status == 200 else "plinth_denied[none]")
    assert len(stand.upstream.seen) == 3


def test_a_routes_settings_count_and_else_its_hosts(stand: Stand) -> None:
    assert stand.ask("/any", stand.key(), host="host") == 200
    assert stand.ask("/any", None, host="host") == 401
    assert stand.ask("/bob", stand.key(), host="host") == 403


def test_a_key_is_verified_once_by_envoys_own_filter(stand: Stand) -> None:
    key, before = stand.key(), stand.verified()
    for _ in range(5):
        assert stand.ask("/ann", key) == 200
    assert stand.verified() == before + 1
    seen = stand.upstream.seen[-1]
    named = {name: seen.header(f"x-plinth-{name}") for name in ("principal", "team", "key")}
    assert named == {"principal": "p_ann", "team": "ops", "key": "k_1"}
    assert seen.header("authorization") == f"Bearer {key}"
    assert stand.ask("/any", None) == 200
    assert stand.verified() == before + 1


def test_what_the_filter_says_of_other_keys_is_said(stand: Stand) -> None:
    key = stand.key()
    head, claims, signature = key.split(".")
    other = stand.key(key_id="k_2").split(".")
    for _ in range(2):
        for damaged in (
            f"{head}.{claims}.{other[2]}",
            f"{head}.{other[1]}.{signature}",
            f"{head}.{claims}.{signature[:-4]}AAAA",
            f"{head}.{claims}.{signature}AAAA",
            f"{head}.{claims}.",
            f"{head}.{claims}",
        ):
            assert stand.ask("/ann", damaged) == 401
            assert stand.details == "plinth_denied[key-forged]"
        assert stand.ask("/ann", stand.key(lives_s=-30)) == 401
        assert stand.details == "plinth_denied[key-expired]"
    assert stand.ask("/ann", None) == 401
    assert stand.details == "plinth_denied[no-key]"
    assert stand.upstream.seen == []


def test_a_body_waits_while_its_key_is_verified(stand: Stand) -> None:
    for size in (0, 1, 70_000, 3_000_000):
        with stand.envoy.connect("gate") as connection:
            for _ in range(2):
                assert stand.say(connection, "/large", stand.key(), b"x" * size) == 200
                assert len(stand.upstream.seen[-1].body) == size


def test_many_keys_at_once_are_verified_each_for_itself(stand: Stand) -> None:
    wrong: list[Any] = []

    def ask(number: int) -> None:
        with stand.envoy.connect("gate") as connection:
            for each in range(20):
                is_ann = (number + each) % 2 == 0
                key = stand.key("p_ann" if is_ann else "p_bob", f"k_{number}_{each}")
                status = stand.say(connection, "/ann", key)
                if status != (200 if is_ann else 403):
                    wrong.append((number, each, status))

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert wrong == []


def test_callers_who_leave_while_their_key_is_verified_leave_nothing(stand: Stand) -> None:
    now = struct.pack("ii", 1, 0)
    for number in range(300):
        with stand.envoy.connect("gate") as connection:
            head = f"POST /large HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {stand.key()}\r\n"
            connection.sendall(f"{head}content-length: 9\r\n\r\n".encode())
            if number % 3 == 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    assert stand.ask("/ann", stand.key()) == 200
    active = f"http.{VERIFIER}.downstream_rq_active"
    assert eventually(lambda: not any(stand.envoy.stats(active).values()))
    assert stand.envoy.process.poll() is None


def test_what_is_refused_reaches_no_server_however_its_body_comes(stand: Stand) -> None:
    known = stand.key()
    assert stand.ask("/ann", known) == 200
    stand.upstream.seen.clear()
    for key, size in itertools.product((known, None), (0, 5, 3_000_000)):
        # It may answer while the body is still being sent.
        try:
            assert stand.ask("/bob", key or stand.key(), b"x" * size) == 403
        except ConnectionError:
            assert size > 5
        assert stand.details == "plinth_denied[none]"
    assert stand.upstream.seen == []


def test_a_connection_goes_on_after_a_refusal(stand: Stand) -> None:
    with stand.envoy.connect("gate") as connection:
        for path, status in (("/bob", 403), ("/ann", 200), ("/bob", 403)):
            for _ in range(2):
                assert stand.say(connection, path, stand.key()) == status


def test_a_body_is_measured_by_what_the_codec_read(stand: Stand) -> None:
    assert stand.ask("/ops", stand.key(), b"x" * 9) == 200
    assert stand.ask("/ops", stand.key(), b"x" * 10) == 403
    assert stand.details == "plinth_denied[too-large-here]"
    for method, body, status in (("PUT", b"x" * 10, 403), ("PUT", b"", 200), ("DELETE", None, 200)):
        stand.count += 1
        headers = {"authorization": f"Bearer {stand.key()}", "x-number": str(stand.count)}
        found = stand.envoy.ask("/ops", body, headers=headers, method=method, listener="gate")
        assert found.status == status
    with stand.envoy.connect("gate") as connection:
        stand.count += 1
        head = f"POST /ops HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {stand.key()}\r\n"
        head += f"x-number: {stand.count}\r\n"
        connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 403
    assert stand.details == "plinth_denied[too-large-here]"


def test_revoked_keys_come_by_a_file_and_hold_for_open_connections(stand: Stand) -> None:
    key, before = stand.key(), stand.verified()
    with stand.envoy.connect("gate") as connection:
        for revoked, status in (([], 200), (["k_1", "k_0"], 403), (["k_0"], 200)):
            stand.revoke(*revoked)
            assert stand.say(connection, "/ann", key) == status
            if status == 403:
                assert stand.details == "plinth_denied[revoked]"
    # What the key says is still known.
    assert stand.verified() == before + 1


def test_signing_keys_come_by_files_and_hold_for_open_connections(stand: Stand) -> None:
    old, before = stand.ring, stand.key()
    with stand.envoy.connect("gate") as connection:
        assert stand.say(connection, "/ann", before) == 200
        for _ in range(2):
            stand.sign(keyring.rotate(stand.folder / "secrets", datetime.now(UTC)))
            assert stand.say(connection, "/ann", stand.key()) == 200
            is_old = stand.ring.find(old.current.kid) is None
            assert stand.say(connection, "/ann", before) == (401 if is_old else 200)
    assert stand.details == "plinth_denied[key-forged]"


def test_a_file_that_the_gate_cannot_read_changes_nothing(stand: Stand) -> None:
    stand.revoke("k_9")
    for name, text in (
        ("none of ours", ""),
        ("gate", "revoked"),
        ("gate", "revoke k_1"),
        ("gate", "remember x"),
    ):
        damaged = gate.gate_filter(["k_1"], stand.ring.public_jwks())
        damaged["typed_config"]["filter_name"] = name
        damaged["typed_config"]["filter_config"]["value"] = text
        stand.write(gate.GATE_KIND, damaged)
        assert stand.ask("/ann", stand.key()) == 200
        assert stand.ask("/ann", stand.key(key_id="k_9")) == 403
    stand.revoke()


def test_a_browsers_key_counts_on_the_page_whose_filters_see_it(stand: Stand) -> None:
    key = stand.key(page="mlflow")
    assert stand.ask("/ann", key, **READ) == 403
    assert stand.details == "plinth_denied[other-page]"
    for cookie in (None, key):
        headers = {**READ, "host": PAGE}
        if cookie is not None:
            headers["cookie"] = f"{cookie_name(PORT)}={cookie.removeprefix('plk_')}"
        bearer = None if cookie is not None else key
        assert stand.ask("/ann", bearer, **headers) == 200
        seen = stand.upstream.seen[-1]
        assert (seen.header("x-plinth-browser"), seen.header("x-plinth-page")) == (None, None)
        assert seen.header("x-plinth-principal") == "p_ann"
        # It is still to be granted what stands there.
        assert seen.header("x-plinth-expires") is None
        assert stand.ask("/bob", bearer, **headers) == 403
        assert stand.details == "plinth_denied[none]"
        assert stand.ask("/ann", bearer, **{**headers, "sec-fetch-site": "cross-site"}) == 403
        assert stand.details == "rbac_access_denied_matched_policy[strange-page]"
    assert stand.ask("/ann", stand.key(page="console"), **READ, host=PAGE) == 403
    assert stand.details == "rbac_access_denied_matched_policy[other-page]"
    # Elsewhere nobody reads the cookie.
    cookie = f"{cookie_name(PORT)}={key.removeprefix('plk_')}"
    assert stand.ask("/ann", None, **READ, cookie=cookie) == 401


def test_settings_of_a_route_that_are_none_are_refused(stand: Stand) -> None:
    settings = {gate.GATE: module_settings("granted", "everyone")}
    text = json.dumps(settings)
    assert text.startswith('{"plinth.gate": {"@type": "' + TYPE_PREFIX)
    found = listener(filters(str(stand.folder)), routes(_opened("/x", settings)), name="x")
    with pytest.raises(AssertionError), running_envoy([found], []):
        pass
