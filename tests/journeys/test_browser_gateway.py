"""What a browser that signed in may ask, and where its cookie counts: a real Envoy decides it.

A journey because no code of ours sees these requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from plinth.domain.traffic import cookie_name, tracking_authority, tracking_origin
from plinth.domain.web_page import page_authority
from plinth.gateway.state import Writers
from tests.journeys.gateway_stand import INFER, Answer, Gateway, running_gateway

READ = "/ajax-api/2.0/mlflow/runs/get"
WRITE = "/ajax-api/2.0/mlflow/runs/create"
OURS = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
OPENING = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.fixture(scope="module")
def gateway(free_port: Callable[[], int]) -> Iterator[Gateway]:
    with running_gateway(free_port()) as running:
        running.apply(revoked=("k_gone",), writers=(Writers("ops", ("p_ann",)),))
        yield running


def cookie(gateway: Gateway, key: str | None = None) -> str:
    value = (key or gateway.key(page="mlflow")).removeprefix("plk_")
    return f"theme=dark; {cookie_name(gateway.state.port)}={value}"


def browse(
    gateway: Gateway,
    path: str = READ,
    said: Mapping[str, str] = OURS,
    *,
    method: str = "GET",
    host: str | None = None,
    **headers: str,
) -> Answer:
    """Ask as a browser that signed in; `said` is what it says of the page that made it ask."""
    place = host or tracking_authority(gateway.state.port)
    given = {"host": place, "cookie": cookie(gateway), **said, **headers}
    connection = gateway.connect()
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            connection.putheader(name, value)
        connection.putheader("content-length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


def test_a_cookie_is_as_good_as_the_key_that_it_holds(gateway: Gateway) -> None:
    seen = browse(gateway).json
    assert seen["server"] == "mlflow"
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["x-mlflow-workspace"] == "team-ops"
    assert headers["x-plinth-principal"] == "p_ann"
    assert browse(gateway, WRITE, method="POST").status == 200
    bob = cookie(gateway, gateway.key("p_bob", page="mlflow"))
    assert browse(gateway, cookie=bob).status == 200
    assert browse(gateway, WRITE, method="POST", cookie=bob).status == 403
    assert gateway.records()[0].key_id == "k_1"


@pytest.mark.parametrize(
    "path", [READ, "/", "/static-files/x.js", "/get-artifact?path=x", "/graphql"]
)
def test_mlflow_never_sees_a_cookie_and_never_sets_one(gateway: Gateway, path: str) -> None:
    answer = browse(gateway, path, method="POST" if path == "/graphql" else "GET")
    assert answer.status == 200
    assert "cookie" not in {name.lower() for name in answer.json["headers"]}
    assert "set-cookie" not in answer.headers
    assert cookie_name(gateway.state.port).encode() not in answer.body


def test_only_the_control_plane_gives_and_takes_cookies(gateway: Gateway) -> None:
    for path, headers in (("/sign-in?code=x", {"cookie": "a=b"}), ("/sign-out", {})):
        answer = browse(gateway, path, **headers)
        assert answer.json["server"] == "control"
        assert answer.headers["set-cookie"] == "from=control; Path=/"
        assert "cookie" in {name.lower() for name in answer.json["headers"]}


def _bad_cookies(gateway: Gateway) -> dict[str, str]:
    name = cookie_name(gateway.state.port)
    good = gateway.key(page="mlflow").removeprefix("plk_")
    return {
        "none": "a=b",
        "empty": f"{name}=",
        "expired": cookie(gateway, gateway.key(page="mlflow", lives_s=-12)),
        "revoked": cookie(gateway, gateway.key(page="mlflow", key_id="k_gone")),
        "changed": f"{name}={good[:60]}{'A' if good[60] != 'A' else 'B'}{good[61:]}",
        "with its prefix": f"{name}=plk_{good}",
        "of another port": f"__Host-plinth-1={good}",
        "of another name": f"__Host-plinth={good}",
        "of another page": cookie(gateway, gateway.key(page="console")),
        "of a page of a similar name": cookie(gateway, gateway.key(page="mlflo")),
        "of no page": cookie(gateway, gateway.key()),
    }


def test_a_cookie_that_does_not_hold_is_refused_with_a_page_for_people(gateway: Gateway) -> None:
    for what, sent in _bad_cookies(gateway).items():
        answer = browse(gateway, cookie=sent)
        assert (answer.status, answer.headers["content-type"]) == (401, "application/json"), what
        answer = browse(gateway, "/", OPENING, cookie=sent, accept="text/html,*/*")
        assert (answer.status, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert b"plinth open mlflow" in answer.body, what
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert len(answer.headers["x-plinth-id"]) == 36


@pytest.mark.parametrize("path", ["/api/v1/runs", INFER, "/v2", "/api/2.0/mlflow/runs/get", "/"])
def test_a_cookie_counts_on_no_other_host(gateway: Gateway, path: str) -> None:
    port = gateway.state.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "mlflow.localhost:1", "evil.example"):
        assert browse(gateway, path, host=host).status == 401, host
    # In another spelling it is another host.
    assert browse(gateway, path, host=f"mlflow.localhost.:{port}").status == 401
    assert browse(gateway, path, host=f"x.mlflow.localhost:{port}").status == 401


@pytest.mark.parametrize(
    "path", ["/api/v1/runs", INFER, "/v2", "/health/x", "/internal/deployments/r"]
)
def test_mlflow_s_host_holds_nothing_but_mlflow(gateway: Gateway, path: str) -> None:
    assert browse(gateway, path).status == 404
    assert browse(gateway, path, method="POST").status == 404


def test_a_key_in_a_header_wins_over_the_cookie(gateway: Gateway) -> None:
    bearer = gateway.key("p_bob", "research", "k_2")
    for name, value in (("authorization", f"Bearer {bearer}"), ("x-api-key", bearer)):
        answer = browse(gateway, **{name: value})
        headers = {name.lower(): value for name, value in answer.json["headers"].items()}
        assert (headers["x-plinth-principal"], headers["x-plinth-team"]) == ("p_bob", "research")
        assert "x-plinth-browser" not in headers
    assert browse(gateway, authorization="Bearer nonsense").status == 401
    assert browse(gateway, authorization=f"Bearer {gateway.key(key_id='k_gone')}").status == 401
    # A program may say what it likes about pages: it is nobody's browser.
    strange = {"sec-fetch-site": "cross-site", "origin": "http://evil.example"}
    answer = browse(gateway, WRITE, strange, method="POST", authorization=f"Bearer {gateway.key()}")
    assert answer.status == 200


def _site(name: str, **more: str) -> dict[str, str]:
    return {"sec-fetch-site": name, "sec-fetch-mode": "cors", "sec-fetch-dest": "empty", **more}


IFRAME = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}


@pytest.mark.parametrize(
    ("said", "reads", "writes"),
    [
        (OURS, True, True),
        ({"sec-fetch-site": "none", **OPENING}, True, False),
        ({"sec-fetch-site": "cross-site", **OPENING}, True, False),
        ({"sec-fetch-site": "same-site", **OPENING}, True, False),
        ({"sec-fetch-site": "cross-site", **IFRAME}, False, False),
        (_site("cross-site"), False, False),
        (_site("same-site"), False, False),
        (
            _site("cross-site", **{"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}),
            False,
            False,
        ),
        (_site("Same-Origin"), False, False),
        (_site("same-origin, cross-site"), False, False),
        ({}, True, False),
        ({"sec-fetch-mode": "cors"}, True, False),
    ],
)
def test_only_mlflow_s_own_pages_change_anything(
    gateway: Gateway, said: dict[str, str], reads: bool, writes: bool
) -> None:
    assert browse(gateway, READ, said).status == (200 if reads else 403)
    assert browse(gateway, READ, said, method="HEAD").status == (
        200 if reads and said.get("sec-fetch-site") in (None, "same-origin", "none") else 403
    )
    for path, method in ((WRITE, "POST"), ("/graphql", "POST"), ("/sign-out", "POST")):
        answer = browse(gateway, path, said, method=method)
        assert answer.status == (200 if writes else 403), path
        if not writes:
            assert answer.json["error"]["code"] == "strange_page"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://mlflow.localhost", ""])
def test_another_origin_gets_nothing(gateway: Gateway, origin: str) -> None:
    for said in (OURS, {}, OPENING):
        assert browse(gateway, READ, said, origin=origin).status == 403
        assert browse(gateway, WRITE, said, method="POST", origin=origin).status == 403
    ours = tracking_origin(gateway.state.port)
    assert browse(gateway, WRITE, OURS, method="POST", origin=ours).status == 200


def test_a_websocket_must_say_from_where_it_comes(gateway: Gateway) -> None:
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    assert browse(gateway, READ, upgrade).status == 403
    assert browse(gateway, READ, {**upgrade, "origin": "http://evil.example"}).status == 403
    # With our own it gets past that; MLflow is reached by no upgrade at all.
    ours = {**upgrade, "origin": tracking_origin(gateway.state.port)}
    assert browse(gateway, READ, ours).status in (200, 403)


def test_nobody_says_of_itself_that_it_is_a_browser_or_where_it_is(gateway: Gateway) -> None:
    lies = {
        "x-plinth-browser": "k_1",
        "x-plinth-team": "research",
        "x-mlflow-workspace": "team-research",
        "x-forwarded-host": "evil.example",
        "x-forwarded-prefix": "/evil",
        "x-forwarded-for": "6.6.6.6",
        "forwarded": "for=6.6.6.6",
    }
    answer = browse(gateway, **lies)
    headers = {name.lower(): value for name, value in answer.json["headers"].items()}
    assert headers["x-plinth-team"] == "ops"
    assert headers["x-mlflow-workspace"] == "team-ops"
    assert "6.6.6.6" not in headers["x-forwarded-for"]
    assert not {"x-forwarded-host", "x-forwarded-prefix", "forwarded"} & set(headers)


@pytest.mark.parametrize("page", ["console", "mlflow", "ann-ws"])
def test_a_browser_s_key_counts_at_no_other_address_wherever_it_stands(
    gateway: Gateway, page: str
) -> None:
    key = gateway.key(page=page)
    port = gateway.state.port
    for place in ("mlflow", "console", "bob-ws"):
        host = page_authority(place, port)
        stolen = {"cookie": cookie(gateway, key)}
        answer = browse(gateway, "/", host=host, **stolen)
        assert answer.status == (200 if place == page else 401), place
        bearer = {"cookie": "", "authorization": f"Bearer {key}"}
        assert browse(gateway, "/", host=host, **bearer).status == (200 if place == page else 401)
    for path in ("/api/v1/runs", INFER, "/v2", "/api/2.0/mlflow/runs/get"):
        assert gateway.ask(path, key).status == 401, path


def test_the_console_is_a_page_of_its_own(gateway: Gateway) -> None:
    host = page_authority("console", gateway.state.port)
    signed_in = {"cookie": cookie(gateway, gateway.key(page="console"))}
    for path, there in (("/", "/console/"), ("/runs/r_1?x=2", "/console/runs/r_1?x=2")):
        seen = browse(gateway, path, OPENING, host=host, **signed_in).json
        assert (seen["server"], seen["path"]) == ("control", there)
        assert "cookie" in {name.lower() for name in seen["headers"]}
    # The interface for programs is not below it, with whatever path.
    for path in ("/api/v1/runs", "/../api/v1/runs", "/%2e%2e/api/v1/runs", "//api/v1/runs"):
        answer = browse(gateway, path, host=host, **signed_in)
        assert answer.status == 400 or answer.json["path"].startswith("/console/"), path
    own = f"http://{host}"
    assert browse(gateway, "/stop", OURS, method="POST", host=host, **signed_in).status == 200
    for said in ({**OURS, "origin": tracking_origin(gateway.state.port)}, _site("same-site"), {}):
        answer = browse(gateway, "/stop", said, method="POST", host=host, **signed_in)
        assert answer.status == 403, said
    answer = browse(gateway, "/x", {**OURS, "origin": own}, method="POST", host=host, **signed_in)
    assert answer.status == 200


def test_the_plain_address_leads_a_browser_to_the_console(gateway: Gateway) -> None:
    port = gateway.state.port
    people = {"accept": "text/html,application/xhtml+xml;q=0.9"}
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        answer = browse(gateway, "/", OPENING, host=host, **people)
        assert answer.status == 303
        assert answer.headers["location"] == f"http://{page_authority('console', port)}/"
        # A program, any other address and any other way to ask still need a key.
        assert browse(gateway, "/", {}, host=host).status == 401
        assert browse(gateway, "/x", OPENING, host=host, **people).status == 401
        assert browse(gateway, "/", OPENING, host=host, method="POST", **people).status == 401
    assert browse(gateway, "/", OPENING, host="evil.example", **people).status == 401
