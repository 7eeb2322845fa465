"""The gateway as callers meet it: a real Envoy in front of small servers on Unix sockets.

A journey because what matters (which address reaches which server, with whose headers) is decided
by Envoy and nowhere in our code.
"""

from __future__ import annotations

import http.client
import http.server
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plinth.access import keyring, tokens
from plinth.access.tokens import Claims
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway import snapshot, xds
from plinth.gateway.state import Writers
from plinth.kit.errors import Permanent
from tests.access.bad_tokens import BAD, Maker
from tests.journeys.gateway_stand import (
    INFER,
    PLATFORM,
    Answer,
    Gateway,
    ask,
    eventually,
    running_gateway,
)


@pytest.fixture(scope="module")
def gateway(free_port: Callable[[], int]) -> Iterator[Gateway]:
    """Start Envoy once; each test brings it to the state it needs."""
    with running_gateway(free_port()) as running:
        yield running


@pytest.fixture
def ready(gateway: Gateway) -> Gateway:
    """Have one endpoint that serves, one without a deployment, and a candidate."""
    deployments = {
        name: Deployment(id=name, upstreams=(Upstream(socket=str(server.path)),))
        for name, server in gateway.servers.items()
    }
    delay = EndpointRoute(
        name="delay",
        team="ops",
        deployments=(deployments.get("r_one") or gateway.serve("r_one"),),
        candidates=(deployments.get("r_two") or gateway.serve("r_two"),),
        callers=("p_ann",),
        caller_teams=("research",),
    )
    empty = EndpointRoute(name="empty", team="ops", callers=("p_ann",))
    gateway.apply(
        endpoints=(delay, empty),
        revoked=(),
        jwks=gateway.ring.public_jwks(),
        writers=(Writers("ops", ("p_ann", "p_elsewhere")), Writers("research", everybody=True)),
    )
    return gateway


def test_a_granted_caller_reaches_the_model(ready: Gateway) -> None:
    answer = ready.ask(INFER, ready.key(), method="POST", body=b"{}")
    assert answer.status == 200
    assert (answer.json["server"], answer.json["path"]) == ("r_one", INFER)
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-plinth-id"])
    assert ready.ask(INFER, ready.key("p_bob", "research")).status == 200


@pytest.mark.parametrize("header", ["api-key", "x-api-key"])
def test_a_key_may_stand_where_other_clients_put_it(ready: Gateway, header: str) -> None:
    assert ready.ask(INFER, headers={header: ready.key()}).status == 200


def _refused_keys(gateway: Gateway) -> dict[str, dict[str, str]]:
    stranger = keyring.Keyring(
        (replace(gateway.ring.current, key=type(gateway.ring.current.key).generate_key("P-256")),)
    )
    end = datetime.now(UTC) + timedelta(hours=1)
    forged = tokens.mint(stranger, Claims("p_ann", "ops", "k_1", end))
    good = gateway.key()
    return {
        "missing": {},
        "expired": {"authorization": f"Bearer {gateway.key(lives_s=-12)}"},
        "forged": {"authorization": f"Bearer {forged}"},
        "changed": {
            "authorization": f"Bearer {good[:60]}{'A' if good[60] != 'A' else 'B'}{good[61:]}"
        },
        "not ours": {"authorization": "Bearer sk-something"},
        "without plk_": {"authorization": f"Bearer {good.removeprefix('plk_')}"},
        "basic": {"authorization": "Basic YTpi"},
        "revoked": {"authorization": f"Bearer {gateway.key(key_id='k_gone')}"},
        "one good, one forged": {"authorization": f"Bearer {good}", "api-key": forged},
    }


@pytest.mark.parametrize("path", [INFER, "/api/v1/runs", "/api/2.0/mlflow/runs/get", "/nothing"])
def test_without_a_valid_key_there_is_nothing_but_401(ready: Gateway, path: str) -> None:
    ready.apply(revoked=("k_gone",))
    for name, headers in _refused_keys(ready).items():
        answer = ready.ask(path, headers=headers)
        assert answer.status == 401, name
        assert answer.headers["content-type"] == "application/json"
        assert len(answer.headers["x-plinth-id"]) == 36
        error = answer.json["error"]
        assert (
            isinstance(error, str) if path == INFER else set(error) == {"code", "message", "hint"}
        )


def test_an_expired_key_is_still_good_for_the_clocks_that_differ(ready: Gateway) -> None:
    assert ready.ask(INFER, ready.key(lives_s=-5)).status == 200


def test_five_hundred_keys_are_revoked_at_once_even_on_open_connections(ready: Gateway) -> None:
    connection = ready.connect()
    key = ready.key(key_id="k_250")
    assert ask(connection, INFER, key).status == 200
    ready.apply(revoked=tuple(f"k_{number}" for number in range(500)))
    answer = ask(connection, INFER, key)
    assert answer.status == 401
    assert answer.json["error"].startswith("this key was revoked (hint: ")
    assert ask(connection, INFER, ready.key(key_id="k_500")).status == 200
    connection.close()


def test_two_keys_are_never_mixed_into_one_identity(ready: Gateway) -> None:
    """Two keys are refused, and one that is sent twice is one."""
    bob = ready.key("p_bob", "sales", "k_2")
    other = ready.key("p_ann", "ops", "k_3")
    for first, second in ((bob, ready.key()), (ready.key(), bob), (other, ready.key())):
        answer = ready.ask("/api/v1/runs", first, headers={"x-api-key": second})
        assert answer.status == 401
        assert answer.json["error"]["message"].startswith("this request carries two keys")
    for spelt in (f"Bearer  {bob}", f"bearer {bob}", f"Bearer {bob},Bearer {bob}"):
        headers = {"authorization": spelt, "api-key": ready.key()}
        assert ready.ask("/api/v1/runs", None, headers=headers).status == 401
    ready.apply(revoked=("k_2",))
    assert ready.ask("/api/v1/runs", bob, headers={"x-api-key": ready.key()}).status == 401
    one = ready.key()
    answer = ready.ask("/api/v1/runs", one, headers={"x-api-key": one, "api-key": one})
    seen = [value for name, value in answer.json["headers"].items() if name.startswith("x-plinth-")]
    assert {"p_ann", "ops", "k_1"} <= set(seen)
    late = ready.key(lives_s=-60)
    assert ready.ask(INFER, ready.key(), headers={"x-api-key": late}).status == 401
    assert ready.ask(INFER, late, headers={"x-api-key": ready.key()}).status == 401


def test_a_signing_key_is_rotated_under_open_connections(ready: Gateway) -> None:
    old, connection = ready.ring, ready.connect()
    before = ready.key()
    try:
        assert ask(connection, INFER, before).status == 200
        ready.ring = keyring.rotate(ready.root / "secrets", datetime.now(UTC))
        ready.apply(jwks=ready.ring.public_jwks())
        assert ask(connection, INFER, before).status == 200
        assert ask(connection, INFER, ready.key()).status == 200
        ready.ring = keyring.rotate(ready.root / "secrets", datetime.now(UTC))
        ready.apply(jwks=ready.ring.public_jwks())
        assert ask(connection, INFER, before).status == 401
        assert ask(connection, INFER, ready.key()).status == 200
    finally:
        connection.close()
    assert ready.ring.find(old.current.kid) is None


def test_what_is_not_granted_looks_just_like_what_is_absent(ready: Gateway) -> None:
    stranger = ready.key("p_bob", "ops")
    answers = [
        ready.ask(f"/v2/models/{name}{rest}", stranger, method=method)
        for name in ("delay", "empty", "absent")
        for rest, method in (("/infer", "POST"), ("", "GET"), ("/ready", "GET"))
    ]
    assert {answer.status for answer in answers} == {403}
    assert len({answer.body for answer in answers}) == 1
    varying = {"x-plinth-id", "date"}
    shapes = {
        tuple((k, v) for k, v in each.headers.items() if k not in varying) for each in answers
    }
    assert len(shapes) == 1


def test_a_grant_taken_away_acts_at_once(ready: Gateway) -> None:
    delay, empty = ready.state.endpoints
    ready.apply(endpoints=(delay.model_copy(update={"callers": ()}), empty))
    assert ready.ask(INFER, ready.key()).status == 403


def test_an_endpoint_without_a_deployment_says_so_to_its_callers(ready: Gateway) -> None:
    answer = ready.ask("/v2/models/empty/infer", ready.key(), method="POST")
    assert answer.status == 503
    assert answer.json["error"].startswith("endpoint `empty` has no ready deployment (hint: ")
    assert answer.headers["retry-after"] == "1"


def test_only_the_platform_reaches_a_candidate(ready: Gateway) -> None:
    path = f"/internal/deployments/r_two{INFER}"
    answer = ready.ask(path, ready.key(PLATFORM, "plinth"), method="POST")
    assert (answer.json["server"], answer.json["path"]) == ("r_two", INFER)
    refused = ready.ask(path, ready.key())
    absent = ready.ask("/internal/deployments/r_none/v2/models/x", ready.key())
    assert refused.status == absent.status == 403
    assert refused.body == absent.body
    assert refused.json["error"]["code"] == "denied"


def test_what_a_client_says_about_itself_is_taken_off(ready: Gateway) -> None:
    lies = {
        "x-plinth-team": "research",
        "X-Plinth-Principal": PLATFORM,
        "x-plinth-anything": "1",
        "x-mlflow-workspace": "research",
        "x-request-id": "mine",
        "x-envoy-max-retries": "50",
        "x-envoy-original-path": "/somewhere",
    }
    for path in (INFER, "/api/v1/runs", "/api/2.0/mlflow/runs/get"):
        answer = ready.ask(path, ready.key(), headers=lies)
        seen = {name.lower(): value for name, value in answer.json["headers"].items()}
        assert (seen["x-plinth-team"], seen["x-plinth-principal"]) == ("ops", "p_ann")
        assert seen["x-plinth-key"] == "k_1"
        assert seen["x-request-id"] == answer.headers["x-plinth-id"] != "mine"
        assert not {"x-plinth-anything", "x-envoy-max-retries", "x-envoy-original-path"} & set(seen)
        assert ("authorization" in seen) == (path == "/api/v1/runs")
        assert seen.get("x-mlflow-workspace") == ("team-ops" if "mlflow" in path else None)
    assert ready.ask(INFER, ready.key(), headers={"x_plinth_team": "a"}).status == 400


@pytest.mark.parametrize("header", ["authorization", "api-key", "x-api-key"])
def test_a_model_never_learns_a_key(ready: Gateway, header: str) -> None:
    value = f"Bearer {ready.key()}" if header == "authorization" else ready.key()
    again = {"proxy-authorization": f"Bearer {ready.key()}"}
    answer = ready.ask(INFER, headers={header: value, **again})
    assert answer.status == 200
    assert b"plk_" not in answer.body
    assert b"proxy-authorization" not in answer.body.lower()


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/runs/get",
        "/api/3.0/mlflow/traces/t_1",
        "/api/3.0/mlflow/server-info",
        "/api/2.0/mlflow-artifacts/artifacts/1/a/model.pkl",
        "/ajax-api/2.0/mlflow-artifacts/artifacts/1/model.pkl",
        "//api/2.0//mlflow/./runs/get?run_id=1",
    ],
)
def test_mlflow_answers_for_the_teams_workspace(ready: Gateway, path: str) -> None:
    seen = ready.ask(path, ready.key("p_bob", "research")).json
    assert seen["server"] == "mlflow"
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["x-mlflow-workspace"] == "team-research"
    assert headers["host"] == "localhost"
    assert "//" not in seen["path"]


CHANGES = [
    ("POST", "/api/2.0/mlflow/runs/create"),
    ("POST", "/api/2.0/mlflow/runs/log-batch"),
    ("POST", "/api/2.0/mlflow/runs/search/"),
    ("POST", "/api/2.0/mlflow/runs/delete"),
    ("POST", "/api/2.0/mlflow/registered-models/alias"),
    ("DELETE", "/api/2.0/mlflow/registered-models/alias"),
    ("POST", "/api/2.0/mlflow/model-versions/create"),
    ("PATCH", "/api/2.0/mlflow/model-versions/update"),
    ("POST", "/api/2.0/mlflow/logged-models"),
    ("POST", "/api/3.0/mlflow/traces"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/model.pkl"),
    ("DELETE", "/ajax-api/2.0/mlflow-artifacts/artifacts/1/model.pkl"),
    ("POST", "/api/2.0/mlflow-artifacts/mpu/create/1/model.pkl"),
]
READS = [
    ("GET", "/api/2.0/mlflow/registered-models/alias?name=a&alias=champion"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/1/model.pkl"),
    ("HEAD", "/api/2.0/mlflow/runs/get"),
    ("POST", "/api/2.0/mlflow/runs/search"),
    ("POST", "/api/2.0//mlflow/./logged-models/search?x=1"),
    ("POST", "/api/3.0/mlflow/traces/search"),
]


def reached(gateway: Gateway, key: str, asked: list[tuple[str, str]]) -> set[int]:
    return {gateway.ask(path, key, method=method).status for method, path in asked}


def test_every_key_of_a_team_reads_in_mlflow_and_a_viewer_changes_nothing(ready: Gateway) -> None:
    viewer = ready.key("p_bob", "ops")
    assert reached(ready, viewer, READS) == {200}
    assert reached(ready, viewer, CHANGES) == {403}
    error = ready.ask(CHANGES[4][1], viewer, method="POST").json["error"]
    assert error["code"] == "denied"
    assert "needs role `contributor` on team `ops`" in error["message"]
    # The same principal with a key of a team that gave it nothing, and a team nobody wrote down.
    for team in ("other", "sales"):
        assert reached(ready, ready.key("p_ann", team), READS) == {200}
        assert reached(ready, ready.key("p_ann", team), CHANGES) == {403}


@pytest.mark.parametrize(
    ("principal", "team", "is_run"),
    [("p_ann", "ops", False), ("p_bob", "research", False), ("p_job", "ops", True)],
    ids=["a contributor", "a member of a team that may", "a run"],
)
def test_who_may_write_writes_in_the_workspace_of_the_key(
    ready: Gateway, principal: str, team: str, is_run: bool
) -> None:
    key = ready.key(principal, team, is_run=is_run)
    assert reached(ready, key, [*READS, *CHANGES]) == {200}
    for method, path in CHANGES:
        seen = ready.ask(path, key, method=method, headers={"x-mlflow-workspace": "else"}).json
        headers = {name.lower(): value for name, value in seen["headers"].items()}
        assert headers["x-mlflow-workspace"] == f"team-{team}"


def test_a_run_is_a_principal_like_others_and_nobody_calls_itself_one(ready: Gateway) -> None:
    seen = ready.ask("/api/v1/runs", ready.key("p_job", "ops", is_run=True)).json
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["x-plinth-principal"] == headers["x-plinth-run-principal"] == "p_job"
    lie = {"x-plinth-run-principal": "p_bob"}
    key = ready.key("p_bob", "ops")
    answer = ready.ask(CHANGES[0][1], key, method="POST", headers=lie)
    assert answer.status == 403


def test_a_run_whose_key_was_revoked_writes_no_more(ready: Gateway) -> None:
    ready.apply(revoked=("k_run",))
    key = ready.key("p_job", "ops", "k_run", is_run=True)
    assert reached(ready, key, [*READS[:2], *CHANGES]) == {401}


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/workspaces",
        "/api/3.0/mlflow/workspaces/research",
        "/api/3.0/mlflow/%77orkspaces",
        "/api/3.0/mlflow/runs/../workspaces",
        "/api/3.0/mlflow/runs/%2e%2e/workspaces",
        "/api/3.0/mlflow/runs/%2E./workspaces",
        "/api/3.0/mlflow/runs%2f..%2fworkspaces",
        "/api/3.0/mlflow/runs/..%5cworkspaces",
        "/api/3.0/mlflow/runs/..\\workspaces",
        "//api//3.0//mlflow//workspaces",
        "/api/3.0/mlflow/runs;/../workspaces",
        "/api/3.0/mlflow/runsx",
        "/api/3.0/mlflow/gateway/secrets/list",
        "/api/3.0/mlflow/jobs/1",
        "/api/2.0/mlflow/webhooks",
        "/ajax-api/3.0/mlflow/assistant/config",
        "/ajax-api/2.0/mlflow/runs/get",
        "/graphql",
        "/get-artifact?path=x&run_id=1",
        "/v1/traces",
        "/",
    ],
)
def test_the_rest_of_mlflow_does_not_exist(ready: Gateway, path: str) -> None:
    answer = ready.ask(path, ready.key())
    assert answer.status in (400, 404), answer
    openai = {"code", "message", "type", "param"}
    shape = openai if path.startswith("/v1") else {"code", "message", "hint"}
    assert set(answer.json["error"]) == shape


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2", {"name": "plinth", "version": "2", "extensions": []}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
    ],
)
def test_the_protocols_own_questions_are_answered(ready: Gateway, path: str, body: Any) -> None:
    answer = ready.ask(path, ready.key("p_bob"))
    assert (answer.status, answer.json) == (200, body)
    assert answer.headers["content-type"] == "application/json"
    assert ready.ask(path).status == 401


def test_health_needs_no_key(ready: Gateway) -> None:
    answer = ready.ask("/health")
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    assert "x-plinth-id" in answer.headers
    assert ready.ask("/health/x").status == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nhost: a\r\nx-long: " + b"a" * 40_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_cannot_be_read_has_an_id_too(ready: Gateway, sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", ready.state.port), timeout=10) as raw:
        raw.sendall(sent)
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        assert answer.status == status
        assert len(answer.getheader("x-plinth-id") or "") == 36
        assert "error" in json.loads(answer.read())
        answer.close()


def test_a_large_upload_passes_and_is_not_held_back(ready: Gateway) -> None:
    body = b"x" * 30_000_000
    path = "/api/2.0/mlflow-artifacts/artifacts/1/model.bin"
    answer = ready.ask(path, ready.key(), method="PUT", body=body)
    assert answer.json["received"] == len(body)


def test_a_server_that_is_gone_is_named_and_its_return_is_waited_for(ready: Gateway) -> None:
    gone = Deployment(id="r_gone", upstreams=(Upstream(socket=str(ready.root / "run/gone.sock")),))
    delay, empty = ready.state.endpoints
    ready.apply(endpoints=(delay.model_copy(update={"deployments": (gone,)}), empty))
    answer = ready.ask(INFER, ready.key())
    assert answer.status == 503
    assert answer.json["error"].startswith("the server behind `endpoint:delay` cannot be reached")
    answers: list[Answer] = []
    caller = threading.Thread(target=lambda: answers.append(ready.ask(INFER, ready.key())))
    caller.start()
    time.sleep(0.05)
    ready.serve("gone")
    caller.join()
    assert answers[0].status == 200


def test_updates_under_load_lose_no_request(ready: Gateway) -> None:
    """Serve by one deployment, then another, while the first one's cluster goes away each time."""
    key, stop = ready.key(), threading.Event()
    seen: list[tuple[int, str]] = []

    def call() -> None:
        connection = ready.connect()
        while not stop.is_set():
            answer = ask(connection, INFER, key, method="POST", body=b"{}")
            seen.append((answer.status, answer.json.get("server", answer.body)))
        connection.close()

    slow: list[int] = []
    slow_caller = threading.Thread(
        target=lambda: slow.append(ready.ask(f"{INFER}?slow", key).status)
    )
    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    delay, empty = ready.state.endpoints
    one, two = delay.deployments[0], delay.candidates[0]
    slow_caller.start()
    assert eventually(lambda: len(seen) > 20)
    for turn in range(20):
        serving = (two, one)[turn % 2]
        changed = delay.model_copy(update={"deployments": (serving,), "candidates": ()})
        ready.apply(endpoints=(changed, empty), revoked=(f"k_{turn}x",))
    stop.set()
    for caller in (*callers, slow_caller):
        caller.join()
    assert {status for status, _ in seen} == {200}
    assert {server for _, server in seen} == {"r_one", "r_two"}
    assert slow == [200]


def test_a_refused_configuration_leaves_the_old_one_and_says_why(ready: Gateway) -> None:
    rendered = snapshot.render(ready.state)
    broken = json.loads(json.dumps(rendered.routes.items[0]))
    broken["virtual_hosts"][1]["routes"][0]["match"] = {"safe_regex": {"regex": "("}}
    folder = ready.root / "gateway"
    before = (folder / "rds" / "rds.pb").read_bytes()
    with pytest.raises(Permanent, match=r"missing \)"):
        xds.apply(replace(rendered, routes=snapshot.resources([broken])), folder, ready.admin)
    assert (folder / "rds" / "rds.pb").read_bytes() == before
    assert ready.ask(INFER, ready.key()).status == 200
    xds.apply(rendered, folder, ready.admin)
    assert xds.acknowledged(ready.admin)["rds"].version == rendered.routes.version


def test_a_refused_listener_says_why(ready: Gateway) -> None:
    rendered = snapshot.render(ready.state)
    broken = json.loads(json.dumps(rendered.listeners.items[0]))
    # The one before it comes from a file, which Envoy has not read when it looks at the order.
    del broken["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][-2:]
    with pytest.raises(Permanent, match="terminal"):
        xds.apply(
            replace(rendered, listeners=snapshot.resources([broken])),
            ready.root / "gateway",
            ready.admin,
        )
    assert ready.ask(INFER, ready.key()).status == 200


def test_the_admin_socket_is_the_owners(ready: Gateway) -> None:
    assert ready.admin.stat().st_mode & 0o777 == 0o600


def test_every_request_is_written_down_once(ready: Gateway) -> None:
    ann, bob = ready.key(), ready.key("p_bob", "research", "k_2")
    expected = {}
    for path, key, what in (
        (f"{INFER}?secret=1", ann, ("p_ann", "ops", "k_1", "delay", "r_one", 200)),
        (INFER, bob, ("p_bob", "research", "k_2", "delay", "r_one", 200)),
        ("/v2/models/empty", ann, ("p_ann", "ops", "k_1", "empty", None, 503)),
        ("/v2/models/empty", bob, ("p_bob", "research", "k_2", None, None, 403)),
        ("/api/v1/runs", ann, ("p_ann", "ops", "k_1", None, None, 200)),
        ("/api/v1/runs", None, (None, None, None, None, None, 401)),
        ("/api/v1/a%2fb", ann, (None, None, None, None, None, 400)),
    ):
        answer = ready.ask(path, key, method="POST", body=b"12345")
        expected[answer.headers["x-plinth-id"]] = what
    more = [ready.ask(INFER, ann).headers["x-plinth-id"] for _ in range(50)]
    wanted = [*expected, *more]

    def written() -> bool:
        return {*wanted} <= {record.request_id for record in ready.records()}

    assert eventually(written)
    found = [record for record in ready.records() if record.request_id in wanted]
    assert len(found) == len(wanted)
    for record in found:
        seen = (record.principal, record.team, record.key_id)
        what = expected.get(record.request_id, ("p_ann", "ops", "k_1", "delay", "r_one", 200))
        if record.principal is not None or record.code in (400, 401):
            target = (record.endpoint, record.deployment, record.code)
            assert (*seen, *target) == what
        assert "secret" not in (record.path or "")
        assert abs((datetime.now(UTC) - record.started_at).total_seconds()) < 60
    first = next(record for record in found if record.request_id == wanted[0])
    assert (first.rx, first.method, first.attempts, first.flags) == (5, "POST", 1, "")


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_else_can_listen_beside_envoy(free_port: Callable[[], int], workers: int) -> None:
    """A job that bound the port too would get a share of the requests, with their keys."""
    with running_gateway(free_port(), workers=workers) as own:
        for option in (socket.SO_REUSEPORT, socket.SO_REUSEADDR):
            with socket.socket() as thief:
                thief.setsockopt(socket.SOL_SOCKET, option, 1)
                with pytest.raises(OSError, match="in use"):
                    thief.bind(("127.0.0.1", own.state.port))
        answers: list[int] = []
        key = own.key()
        callers = [
            threading.Thread(target=lambda: answers.append(own.ask("/v2", key).status))
            for _ in range(16)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert answers == [200] * 16


def test_a_killed_envoy_leaves_nothing_and_starts_again_at_once(
    free_port: Callable[[], int],
) -> None:
    shared = Path("/dev/shm")
    before = set(shared.iterdir()) if shared.is_dir() else set()
    with running_gateway(free_port(), workers=2) as own:
        connection = own.connect()
        assert ask(connection, "/v2", own.key()).status == 200
        for _ in range(3):
            assert own.process is not None
            own.process.kill()
            own.process.wait(10)
            own.start()
            assert own.ask("/v2", own.key()).status == 200
        own.apply(revoked=("k_x",))
        connection.close()
        left = set(shared.iterdir()) - before if shared.is_dir() else set()
        assert not [path for path in left if path.name.startswith("envoy")]


@pytest.mark.parametrize("path", [INFER, "/api/v1/runs", "/api/2.0/mlflow/runs/get"])
def test_envoy_refuses_every_bad_key_that_the_control_plane_refuses(
    ready: Gateway, path: str
) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    make = Maker(ready.ring, Claims("p_ann", "ops", "k_1", end))
    assert ready.ask(path, headers={"authorization": f"Bearer {make.good}"}).status != 401
    for name, bad in BAD.items():
        for header, prefix in (("authorization", "Bearer "), ("api-key", ""), ("x-api-key", "")):
            answer = ready.ask(path, headers={header: f"{prefix}{bad(make)}"})
            assert answer.status == 401, (name, header)
            assert len(answer.headers["x-plinth-id"]) == 36, (name, header)
