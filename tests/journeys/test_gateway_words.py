"""What callers are told when the gateway refuses: what, why, and what to do, in plain words.

A journey because Envoy writes these answers, from what it alone knows of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plinth.domain.serving import Limit, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway.routes import NOTHING_GRANTED
from tests.conformance.certificates import authority
from tests.conformance.upstream_stand import Request, hang, says, serving
from tests.journeys.gateway_stand import INFER, Answer, Gateway
from tests.journeys.openai_stand import chat_endpoint
from tests.journeys.spill_stand import BODY, CHAT, ENDPOINT, Stand, running_stand

JSON = {"content-type": "application/json"}
MIB = 2**20


@pytest.fixture(scope="module")
def stand(free_port: Callable[[], int]) -> Iterator[Stand]:
    with running_stand(free_port) as running:
        yield running


def here(stand: Stand, **policy: Any) -> EndpointRoute:
    """Return the endpoint `delay` of the Open Inference Protocol."""
    return EndpointRoute(
        name="delay",
        team="ops",
        deployments=(stand.hosted("delay", says("delay")),),
        policy=TrafficPolicy.model_validate(policy),
        callers=("p_ann",),
        caller_teams=("sales", "ops"),
    )


def chat(stand: Stand, **policy: Any) -> EndpointRoute:
    """Return the endpoint `chat` of OpenAI's protocol."""
    route = chat_endpoint("chat", policy=TrafficPolicy.model_validate(policy))
    deployments = (stand.hosted("blue", says("blue")),)
    return route.model_copy(update={"deployments": deployments, "caller_teams": ("sales", "ops")})


def post(gateway: Gateway, path: str, key: str | None = None, body: bytes = BODY) -> Answer:
    return gateway.ask(path, key or gateway.key(), method="POST", body=body, headers=JSON)


def text_of(answer: Answer) -> str:
    """Return what an error says, in whichever shape."""
    error = answer.json["error"]
    return str(error if isinstance(error, str) else error["message"])


def announced(gateway: Gateway, path: str, **headers: str) -> Answer:
    """Send the head of a request only: what it says of its body is refused before that is sent."""
    connection = gateway.connect()
    try:
        connection.putrequest("POST", path)
        for name, value in {"authorization": f"Bearer {gateway.key()}", **JSON, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        found = connection.getresponse()
        named = {name.lower(): value for name, value in found.getheaders()}
        return Answer(found.status, named, found.read())
    finally:
        connection.close()


# Bodies that are too large.


def test_too_large_a_body_says_how_large_it_may_be_and_where_that_is_set(stand: Stand) -> None:
    stand.gateway.apply(endpoints=(here(stand), chat(stand)))
    large = {"content-length": str(4 * MIB + 1)}
    answer = announced(stand.gateway, INFER, **large)
    assert answer.status == 413
    assert "larger than 4,194,304 bytes (4 MiB)" in text_of(answer)
    assert "`max_body` in the endpoint's file" in text_of(answer)
    # How large a body may be is nobody's affair who may send none.
    absent = announced(stand.gateway, "/v2/models/absent/infer", **large)
    assert (absent.status, NOTHING_GRANTED in text_of(absent)) == (403, True)
    unknown = announced(stand.gateway, INFER, **{"transfer-encoding": "chunked"})
    assert unknown.status == 413
    assert "does not say its `content-length`" in text_of(unknown)


def test_an_endpoints_own_size_is_the_one_that_is_said(stand: Stand) -> None:
    stand.gateway.apply(endpoints=(here(stand, max_body=6_000_000),))
    assert announced(stand.gateway, INFER, **{"content-length": "6000001"}).status == 413
    answer = announced(stand.gateway, INFER, **{"content-length": "6000001"})
    assert "larger than 6,000,000 bytes (6 MB)" in text_of(answer)


@pytest.mark.parametrize(("most", "held"), [(1, 4), (64, 16)])
def test_what_is_held_whole_has_a_limit_that_is_said(stand: Stand, most: int, held: int) -> None:
    stand.gateway.apply(endpoints=(chat(stand, max_body=most * MIB),))
    answer = post(
        stand.gateway, CHAT, body=b'{"model": "chat", "x": "' + b"y" * (held * MIB) + b'"}'
    )
    assert answer.status == 413
    assert f"({held} MiB), the most that is taken at this address" in text_of(answer)
    assert "`max_body`" in text_of(answer)
    assert answer.json["error"]["type"] == "invalid_request_error"


# Limits of requests a minute.


def limited(stand: Stand, *limits: Limit) -> Gateway:
    policy = {"limits": limits}
    stand.gateway.apply(endpoints=(here(stand, **policy), chat(stand, **policy)))
    return stand.gateway


def used_up(gateway: Gateway, path: str, key: str) -> Answer:
    for _ in range(10):
        answer = post(gateway, path, key)
        if answer.status != 200:
            return answer
    raise AssertionError("there is no limit")


@pytest.mark.parametrize(("path", "route"), [(INFER, "delay"), (CHAT, "chat")])
def test_a_limit_that_is_used_up_is_named_with_its_number_and_its_end(
    stand: Stand, path: str, route: str
) -> None:
    gateway = limited(stand, Limit(each="team", requests_per_minute=3))
    answer = used_up(gateway, path, gateway.key("p_bob", "sales", "k_bob"))
    assert answer.status == 429
    seconds = answer.headers["retry-after"]
    assert 0 < int(seconds) <= 20
    wanted = (
        f"the requests a minute of `endpoint:{route}` are used up for team `sales` with key "
        f"`k_bob`: each team 3; room again in {seconds} s"
    )
    assert text_of(answer).startswith(wanted)


def test_a_caller_is_told_of_the_limits_that_concern_it_only(stand: Stand) -> None:
    gateway = limited(
        stand,
        Limit(requests_per_minute=1000),
        Limit(team="sales", requests_per_minute=2),
        Limit(team="ops", requests_per_minute=5),
        Limit(key="k_first", requests_per_minute=4),
        Limit(key="k_first", tokens_per_minute=10**9),
    )
    sales = used_up(gateway, INFER, gateway.key("p_bob", "sales", "k_bob"))
    several = "one of these, whose number `x-ratelimit-limit` has: everybody together 1,000; "
    assert f"`k_bob`: {several}team sales 2; room again" in text_of(sales)
    first = used_up(gateway, INFER, gateway.key("p_ann", "ops", "k_first"))
    assert f"`k_first`: {several}team ops 5; key k_first 4; room" in text_of(first)
    for answer, number in ((sales, "2"), (first, "4")):
        assert answer.headers["x-ratelimit-limit"] == number


def test_where_nothing_is_limited_no_limit_is_shown(stand: Stand) -> None:
    limits = (Limit(requests_per_minute=1000),)
    stand.gateway.apply(endpoints=(here(stand, limits=limits), chat(stand)))
    key = stand.gateway.key()
    counted, *others = [
        post(stand.gateway, INFER, key),
        post(stand.gateway, CHAT, key),
        stand.gateway.ask("/v2", key),
        stand.gateway.ask("/v1/models", key),
        stand.gateway.ask("/api/v1/runs", key),
        stand.gateway.ask("/nothing/here", key),
    ]
    assert counted.headers["x-ratelimit-limit"].startswith("1000")
    shown = [[name for name in each.headers if "ratelimit" in name] for each in others]
    assert shown == [[]] * len(others)


def test_openais_clients_are_told_as_the_guard_tells_them(stand: Stand) -> None:
    gateway = limited(stand, Limit(key="k_bob", requests_per_minute=2))
    answer = used_up(gateway, CHAT, gateway.key("p_bob", "sales", "k_bob"))
    error = answer.json["error"]
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert error["plinth"] == {
        "route": "endpoint:chat",
        "team": "sales",
        "key": "k_bob",
        "limits": "key k_bob 2; ",
        "resets_in_s": int(answer.headers["retry-after"]),
    }


# Keys that are none.


@pytest.mark.parametrize("header", ["authorization", "api-key", "x-api-key"])
def test_what_is_no_key_of_plinth_is_told_apart_from_no_key_and_not_repeated(
    stand: Stand, header: str
) -> None:
    strange = "sk-somebodys-secret"
    value = f"Bearer {strange}" if header == "authorization" else strange
    for path in (INFER, CHAT, "/api/v1/runs"):
        answer = stand.gateway.ask(path, headers={header: value})
        assert answer.status == 401
        assert "no key of Plinth: those begin with `plk_`" in text_of(answer)
        assert strange.encode() not in answer.body
        assert "carries no key" in text_of(stand.gateway.ask(path))
    forged = text_of(stand.gateway.ask(INFER, "plk_x.y.z"))
    assert "not made by this Plinth" in forged
    assert "Jwt" not in forged


# Servers that do not answer.


async def leave(request: Request) -> None:
    request.writer.close()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("gone", "cannot be reached: the connection failed"),
        ("leaves", "ended the connection before it answered"),
        ("hangs", "did not answer in time"),
    ],
)
@pytest.mark.parametrize("path", [INFER, CHAT])
def test_a_server_of_ours_that_does_not_answer_is_told_in_plain_words(
    stand: Stand, path: str, kind: str, words: str
) -> None:
    settings = {"timeouts": {"request": 0.4}, "retries": 0}
    route = here(stand, **settings) if path == INFER else chat(stand, **settings)
    if kind == "gone":
        nowhere = str(stand.gateway.root / "run" / "nowhere.sock")
        gone = Deployment(id="r_gone", name="gone", upstreams=(Upstream(socket=nowhere),))
        route = route.model_copy(update={"deployments": (gone,)})
    else:
        (server,) = (stand.servers[each.name] for each in route.deployments)
        server.behaviour = leave if kind == "leaves" else hang
    stand.gateway.apply(endpoints=(route,))
    answer = post(stand.gateway, path)
    assert answer.status in (503, 504), answer.body
    _is_plain(answer, words, route.name)


def _is_plain(answer: Answer, words: str, name: str) -> None:
    text = text_of(answer)
    assert f"`endpoint:{name}`" in text
    assert words in text
    assert "hint: try again" in text
    assert f"request {answer.headers['x-plinth-id']}" in text
    assert not {"(UF)", "(UH)", "(UC)", "(-)", "URX"} & set(text.split())


def elsewhere(stand: Stand, protocol: str, url: str, **more: Any) -> Gateway:
    """Have the endpoint `chat` served by somebody else."""
    base = url if protocol == "open-inference" else f"{url}/v1"
    main = stand.external("main", protocol=protocol, url=base, **more)
    route = EndpointRoute(
        name=ENDPOINT,
        team="ops",
        protocol="open-inference" if protocol == "open-inference" else "openai",
        deployments=(main,),
        policy=TrafficPolicy(retries=0),
        callers=("p_ann",),
    )
    stand.gateway.apply(endpoints=(route,), allow_private_upstreams=True)
    return stand.gateway


PROTOCOLS = [("open-inference", f"/v2/models/{ENDPOINT}/infer"), ("openai", CHAT)]


@pytest.mark.parametrize("address", ["169.254.169.254", "168.63.129.16", "[fd00:ec2::254]"])
def test_a_cloud_s_metadata_is_told_apart_from_a_private_address(
    stand: Stand, address: str
) -> None:
    gateway = elsewhere(stand, "openai", f"http://{address}:9")
    gateway.apply(allow_private_upstreams=False)
    answer = post(gateway, CHAT)
    assert answer.status == 502
    assert "an address at which a cloud answers for its machines" in text_of(answer)
    assert "is never asked" in text_of(answer)


@pytest.mark.parametrize(("protocol", "path"), PROTOCOLS)
def test_a_server_elsewhere_that_cannot_be_reached_is_told_in_the_protocols_shape(
    stand: Stand, tmp_path: Path, protocol: str, path: str
) -> None:
    # Nobody listens at the discard port.
    answer = post(elsewhere(stand, protocol, "http://127.0.0.1:9"), path)
    assert answer.status == 503
    _is_plain(answer, "cannot be reached: the connection failed", ENDPOINT)
    _, context = authority(tmp_path, "localhost")
    with serving(says("secure"), tls=context) as server:
        answer = post(elsewhere(stand, protocol, f"https://localhost:{server.port}"), path)
    _is_plain(answer, "has no certificate that is trusted", ENDPOINT)
    if protocol == "openai":
        assert answer.json["error"]["type"] == "server_error"


@pytest.mark.parametrize(("protocol", "path"), PROTOCOLS)
def test_a_provider_that_wants_a_credential_where_none_is_named_is_told_so(
    stand: Stand, protocol: str, path: str
) -> None:
    with serving(says("main", 401)) as server:
        answer = post(elsewhere(stand, protocol, f"http://127.0.0.1:{server.port}"), path)
    assert answer.status == 502
    assert "wants a credential (401), and the endpoint's file names none" in text_of(answer)
    assert "`credential: secret:NAME`" in text_of(answer)
    assert stand.line(answer)["unserved"] == "credential-wanted"
