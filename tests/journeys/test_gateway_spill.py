"""Base and burst, and models elsewhere, behind a real Envoy and servers that do as they are told.

A journey because Envoy alone decides who is asked next, and what a provider gets to see.
"""

from __future__ import annotations

import asyncio
import collections
import email.utils
import http.client
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from plinth.gateway import snapshot, trust, xds
from tests.conformance.certificates import authority
from tests.conformance.upstream_stand import Request, echo, hang, says, serving
from tests.journeys.gateway_stand import Answer, eventually
from tests.journeys.spill_stand import BODY, CHAT, Stand, running_stand

PROVISIONED = {"base": "base", "burst": "burst"}
KEY = b"sk-of-the-provider"


@pytest.fixture(scope="module")
def stand(free_port: Callable[[], int]) -> Iterator[Stand]:
    with running_stand(free_port) as running:
        yield running


def server_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-name"]


def seen(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def base_and_burst(stand: Stand, **capacity: Any) -> None:
    base, burst = stand.hosted("base", says("base")), stand.external("burst", says("burst"))
    stand.apply(base, burst, capacity={**PROVISIONED, **capacity})


async def slowly(request: Request) -> None:
    await asyncio.sleep(0.5)
    await request.reply(headers={"x-name": "base"})


def test_what_is_more_than_the_base_has_at_once_spills_within_the_request(stand: Stand) -> None:
    base_and_burst(stand, concurrency=2)
    stand.servers["base"].behaviour = slowly
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: stand.ask(), range(8)))
    assert collections.Counter(map(server_of, answers)) == {"base": 2, "burst": 6}
    lines = [stand.line(each) for each in answers]
    assert collections.Counter((each["served"], each["attempts"]) for each in lines) == {
        ("r_base", 1): 2,
        ("chat.burst", 2): 6,
    }


def test_what_is_more_than_the_base_gets_in_a_minute_spills(stand: Stand) -> None:
    base_and_burst(stand, requests_per_minute=5)
    found = [server_of(stand.ask()) for _ in range(12)]
    assert found == ["base"] * 5 + ["burst"] * 7


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_base_that_has_too_much_to_do_is_not_the_callers_concern(
    stand: Stand, status: int
) -> None:
    base_and_burst(stand)
    stand.servers["base"].behaviour = says("base", status)
    answer = stand.ask()
    assert server_of(answer) == "burst"
    line = stand.line(answer)
    assert (line["code"], line["attempts"], line["served"], line["unserved"]) == (
        200,
        2,
        "chat.burst",
        None,
    )


def test_a_base_that_is_gone_is_not_the_callers_concern(stand: Stand) -> None:
    # Of its own name: Envoy remembers for a while that nobody was there.
    base, burst = stand.hosted("gone"), stand.external("burst", says("burst"))
    stand.apply(base, burst, capacity={"base": "gone", "burst": "burst"})
    stand.servers["gone"].stop()
    assert {server_of(stand.ask()) for _ in range(20)} == {"burst"}


@pytest.mark.parametrize("form", ["retry-after", "retry-after-ms", "date"])
def test_a_base_is_left_alone_for_as_long_as_it_asks_for(stand: Stand, form: str) -> None:
    base_and_burst(stand)
    wish = {
        "retry-after": {"retry_after": "2"},
        "retry-after-ms": {"retry_after_ms": "1500", "retry_after": "60"},
        "date": {"retry_after": email.utils.formatdate(time.time() + 3, usegmt=True)},
    }[form]
    base = stand.servers["base"]
    base.behaviour = says("base", 429, **wish)
    assert server_of(stand.ask()) == "burst"
    base.behaviour = says("base")
    began = time.monotonic()
    assert {server_of(stand.ask()) for _ in range(10)} == {"burst"}
    assert len(base.seen) == 1
    assert eventually(lambda: server_of(stand.ask()) == "base", 5)
    assert time.monotonic() - began > 1


@pytest.fixture
def two_workers(free_port: Callable[[], int]) -> Iterator[Stand]:
    with running_stand(free_port, workers=2) as running:
        yield running


@pytest.mark.parametrize("is_hosted", [True, False], ids=["hosted", "external"])
def test_what_spills_since_the_base_is_full_takes_none_of_its_requests_of_the_minute(
    two_workers: Stand, is_hosted: bool
) -> None:
    stand = two_workers
    base = stand.hosted("base") if is_hosted else stand.external("base", model="gpt")
    burst = stand.external("burst", says("burst"))
    limits = {"concurrency": 1, "requests_per_minute": 10}
    stand.apply(base, burst, capacity={**PROVISIONED, **limits})
    stand.servers["base"].behaviour = slowly
    with ThreadPoolExecutor(12) as pool:
        found = [server_of(each) for each in pool.map(lambda _: stand.ask(), range(12))]
    assert collections.Counter(found) == {"base": 1, "burst": 11}
    stand.servers["base"].behaviour = says("base")
    found = [server_of(stand.ask()) for _ in range(12)]
    assert found == ["base"] * 9 + ["burst"] * 3


@pytest.mark.parametrize("limits", [{}, {"concurrency": 3}], ids=["rate", "both"])
def test_what_spills_since_the_base_wants_rest_takes_none_of_its_requests_of_the_minute(
    stand: Stand, limits: dict[str, int]
) -> None:
    base_and_burst(stand, requests_per_minute=8, **limits)
    base = stand.servers["base"]
    base.behaviour = says("base", 429, retry_after="2")
    assert {server_of(stand.ask()) for _ in range(10)} == {"burst"}
    assert len(base.seen) == 1
    base.behaviour = says("base")
    assert eventually(lambda: server_of(stand.ask()) == "base", 5)
    found = [server_of(stand.ask()) for _ in range(8)]
    assert found == ["base"] * 6 + ["burst"] * 2


def test_a_base_with_both_limits_does_all_that_others_do(stand: Stand) -> None:
    """There is one inner listener more between: credentials, time limits, who served, streams."""
    base = stand.external("main", model="gpt", credential="secret:openai")
    burst = stand.external("burst", says("burst"))
    capacity = {**PROVISIONED, "base": "main", "concurrency": 5, "requests_per_minute": 600}
    rules: dict[str, Any] = {"capacity": capacity, "timeouts": {"attempt": 0.5}}
    stand.apply(base, burst, keys={"chat.main": KEY}, **rules)
    answer = stand.ask()
    found = seen(answer)
    assert (found["path"], json.loads(found["body"])["model"]) == (CHAT, "gpt")
    assert found["headers"]["authorization"] == f"Bearer {KEY.decode()}"
    line = stand.line(answer)
    assert (line["served"], line["attempts"], line["unserved"]) == ("chat.main", 1, None)
    server = stand.servers["main"]
    for behaviour in (says("main", 401), says("main", 503), hang):
        server.behaviour = behaviour
        assert server_of(stand.ask()) == "burst"
    asked = len(server.seen)
    assert {server_of(stand.ask()) for _ in range(4)} == {"burst"}
    # Who was silent three times in a row is passed over.
    assert len(server.seen) == asked + 2


def test_a_last_one_that_wants_rest_is_asked_once_when_nobody_else_is_left(stand: Stand) -> None:
    names = ("one", "two", "three")
    busy = {name: says(name, 429, retry_after="3") for name in names}
    stand.apply(*(stand.external(*each) for each in busy.items()), failover=names, retries=3)
    answer = stand.ask()
    assert (answer.status, answer.headers["x-name"]) == (429, "three")
    assert answer.headers["retry-after"] == "3"
    assert "x-envoy-ratelimited" not in answer.headers
    assert [len(stand.servers[name].seen) for name in names] == [1, 1, 1]
    line = stand.line(answer)
    assert (line["served"], line["attempts"]) == ("chat.three", 3)


def test_another_one_that_wants_no_rest_is_asked_again_before_a_request_ends(stand: Stand) -> None:
    draw = iter((503, 200))

    async def second_time(request: Request) -> None:
        await request.reply(next(draw), headers={"x-name": "first"})

    first = stand.external("first", second_time)
    last = stand.external("last", says("last", 429, retry_after="3"))
    stand.apply(first, last, failover=("first", "last"), retries=3)
    assert server_of(stand.ask()) == "first"
    assert len(stand.servers["last"].seen) == 1


def test_a_wish_that_is_none_changes_nothing(stand: Stand) -> None:
    base_and_burst(stand)
    base = stand.servers["base"]
    for wish in ("0", "-5", "soon", "nan", "", "Sun, 99 Nov 1994 08:49:37 GMT", "9" * 400 + "x"):
        base.behaviour = says("base", 503, retry_after=wish)
        assert server_of(stand.ask()) == "burst"
        base.behaviour = says("base")
        assert server_of(stand.ask()) == "base", wish


def test_the_caller_sees_an_error_only_when_everything_is_exhausted(stand: Stand) -> None:
    base_and_burst(stand)
    base, burst = stand.servers["base"], stand.servers["burst"]
    base.behaviour, burst.behaviour = says("base", 429), says("burst", 429, retry_after="7")
    answer = stand.ask()
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert (len(base.seen), len(burst.seen)) == (2, 2)
    assert stand.line(answer)["attempts"] == 4


def test_openai_elsewhere_gets_its_own_key_its_path_and_its_name_for_the_model(
    stand: Stand,
) -> None:
    one = stand.external("main", model="gpt-4o-mini", credential="secret:openai")
    stand.apply(one, keys={"chat.main": KEY})
    found = seen(stand.ask(x_mine="1", traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"))
    assert found["path"] == CHAT
    assert json.loads(found["body"])["model"] == "gpt-4o-mini"
    assert found["body"] == BODY.decode().replace('"chat"', '"gpt-4o-mini"', 1)
    headers = found["headers"]
    assert headers["authorization"] == f"Bearer {KEY.decode()}"
    assert headers["host"] == f"127.0.0.1:{stand.servers['main'].port}"
    assert headers["traceparent"] == "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    assert headers["x-mine"] == "1"
    assert not [name for name in headers if name.startswith(("x-plinth", "x-envoy", "x-forward"))]
    assert not {"cookie", "api-key", "x-api-key"} & set(headers)
    assert "plk_" not in json.dumps(found)


def test_azure_elsewhere_gets_its_deployment_in_the_path_and_its_version(stand: Stand) -> None:
    server = stand.external("main")
    assert server.external is not None
    one = stand.external(
        "main",
        protocol="azure-openai",
        url=server.external.url.removesuffix("/v1"),
        model="my gpt/4",
        credential="secret:azure",
    )
    stand.apply(one, keys={"chat.main": KEY})
    found = seen(stand.ask(api_key="of-the-caller"))
    path = "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21"
    assert found["path"] == path
    assert found["headers"]["api-key"] == KEY.decode()
    assert "authorization" not in found["headers"]


def test_a_credential_is_changed_under_way_and_shown_nowhere(stand: Stand) -> None:
    one = stand.external("main", credential="secret:openai")
    stand.apply(one, keys={"chat.main": KEY})
    assert seen(stand.ask())["headers"]["authorization"] == f"Bearer {KEY.decode()}"
    stand.apply(one, keys={"chat.main": b"sk-the-next-one"})
    assert eventually(
        lambda: seen(stand.ask())["headers"]["authorization"] == "Bearer sk-the-next-one"
    )
    root = stand.gateway.root
    shown = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    keeping = [text for text in shown if KEY in text or b"sk-the-next-one" in text]
    assert len(keeping) == 1
    place = root / "credentials" / "chat.main" / "secret.json"
    assert place.stat().st_mode & 0o777 == 0o600
    assert (
        place.parent.stat().st_mode & 0o777 == place.parent.parent.stat().st_mode & 0o777 == 0o700
    )


def test_a_credential_that_is_not_there_yet_is_no_fault_of_the_caller(stand: Stand) -> None:
    one = stand.external("late", credential="secret:openai")
    stand.apply(one)
    answer = stand.ask()
    assert answer.status == 503
    assert "the credential of `endpoint:chat`" in answer.json["error"]["message"]
    assert stand.servers["late"].seen == []
    assert stand.line(answer)["unserved"] == "failed_to_inject_credential"
    stand.apply(one, keys={"chat.late": KEY})
    assert eventually(lambda: stand.ask().status == 200)


@pytest.mark.parametrize("status", [401, 403])
def test_what_a_provider_says_about_its_credential_is_not_for_callers(
    stand: Stand, status: int
) -> None:
    one = stand.external("main", credential="secret:openai")
    stand.apply(one, keys={"chat.main": KEY}, retries=0)

    async def refuse(request: Request) -> None:
        text = b'{"error": {"message": "Incorrect API key: ' + KEY[:8] + b'"}}'
        await request.reply(status, text, headers={"www-authenticate": "Bearer"})

    stand.servers["main"].behaviour = refuse
    answer = stand.ask()
    assert answer.status == 502
    assert KEY[:8] not in answer.body
    assert "refuses its credential" in answer.json["error"]["message"]
    assert "www-authenticate" not in answer.headers
    assert stand.line(answer)["unserved"] == "credential-refused"


def test_a_base_whose_credential_is_refused_spills(stand: Stand) -> None:
    base = stand.external("main", says("main", 401), credential="secret:openai")
    stand.apply(
        base,
        stand.hosted("other", says("other")),
        keys={"chat.main": KEY},
        failover=("main", "other"),
    )
    assert server_of(stand.ask()) == "other"


def test_a_private_address_is_never_connected_to_unless_it_is_allowed(stand: Stand) -> None:
    one = stand.external("main")
    assert one.external is not None
    named = stand.external("main", url=one.external.url.replace("127.0.0.1", "localhost"))
    for each in (one, named):
        stand.apply(each, private=False, retries=0)
        answer = stand.ask()
        assert answer.status == 502, answer.body
        assert "has an address of this machine" in answer.json["error"]["message"]
    assert stand.servers["main"].seen == []
    stand.apply(named)
    assert stand.ask().status == 200


def test_answers_keep_nothing_of_the_provider_and_nothing_that_only_we_say(stand: Stand) -> None:
    told = {
        "set-cookie": "a=b",
        "openai-organization": "us",
        "x-plinth-unserved": "lie",
        # Where else to ask, and what browsers do on our address.
        "location": "http://127.0.0.1:1/",
        "clear-site-data": '"*"',
        "alt-svc": "h3=:1",
        "access-control-allow-origin": "*",
    }

    async def talk(request: Request) -> None:
        await request.reply(headers={**told, "x-request-id": "theirs"})

    stand.apply(stand.external("main", talk))
    answer = stand.ask()
    assert answer.status == 200
    assert not told.keys() & set(answer.headers)
    assert stand.line(answer)["unserved"] is None


def test_no_provider_sends_a_caller_elsewhere(stand: Stand) -> None:
    async def lead_away(request: Request) -> None:
        await request.reply(status=307, headers={"location": "http://127.0.0.1:1/v1"})

    stand.apply(stand.external("main", lead_away))
    answer = stand.ask()
    # Clients that follow by themselves take the prompt with them, and some the key.
    assert (answer.status, answer.headers.get("location")) == (307, None)


def test_a_server_of_ours_never_learns_what_a_caller_or_a_gate_is_called(stand: Stand) -> None:
    base, burst = stand.external("main", says("main", 503)), stand.hosted("burst2")
    stand.apply(base, burst, failover=("main", "burst2"))
    assert seen(stand.ask(host="evil.test"))["headers"]["host"] == "localhost"
    stand.apply(stand.hosted("base2"), base, capacity={"base": "base2", "burst": "main"})
    assert seen(stand.ask(host="evil.test"))["headers"]["host"] == "localhost"


@pytest.mark.parametrize("size", [2_000_000, 12_000_000])
def test_large_bodies_spill_too_and_have_their_model_renamed(stand: Stand, size: int) -> None:
    base, burst = (
        stand.external("main", says("main", 503)),
        stand.external("elsewhere", model="gpt"),
    )
    stand.apply(base, burst, failover=("main", "elsewhere"), max_body=16 * 2**20)
    answer = stand.ask(b'{"model": "chat", "x": "' + b"x" * size + b'"}')
    body = seen(answer)["body"]
    assert len(body) > size
    assert body.startswith('{"model": "gpt"')


def test_many_headers_pass_the_inner_listener_too(stand: Stand) -> None:
    stand.apply(stand.external("main"))
    found = seen(stand.ask(**{f"x_mine_{number}": "1" for number in range(90)}))
    assert found["headers"]["x-mine-89"] == "1"


def test_no_server_of_ours_says_that_it_did_not_serve(stand: Stand) -> None:
    """Else its team would not be charged."""
    liar = says("base", x_plinth_unserved="lie")
    stand.apply(stand.hosted("base", liar), stand.external("burst"), capacity=PROVISIONED)
    answer = stand.ask()
    assert server_of(answer) == "base"
    assert stand.line(answer)["unserved"] is None
    stand.apply(stand.hosted("base", liar), stand.external("burst"), traffic={"base": 100})
    answer = stand.ask()
    assert server_of(answer) == "base"
    assert stand.line(answer)["unserved"] is None


def test_streams_of_a_model_elsewhere_arrive_piece_by_piece(stand: Stand) -> None:
    goes_on = threading.Event()

    async def stand_still(request: Request) -> None:
        await request.begin(200, {"transfer-encoding": "chunked"})
        await request.chunk(b"data: 0\n")
        await asyncio.to_thread(goes_on.wait, 60)
        await request.chunk(b"data: 1\n")
        await request.chunk(b"")

    stand.apply(stand.external("main", stand_still))
    connection = stand.gateway.connect()
    headers = {"authorization": f"Bearer {stand.gateway.key()}", "content-type": "application/json"}
    connection.request("POST", CHAT, BODY, headers)
    answer = connection.getresponse()
    assert answer.readline() == b"data: 0\n"
    goes_on.set()
    assert answer.read() == b"data: 1\n"
    connection.close()


def test_an_answer_breaks_off_for_the_caller_behind_two_inner_listeners_too(
    stand: Stand,
) -> None:
    async def break_off(request: Request) -> None:
        await request.begin(200, {"transfer-encoding": "chunked"})
        await request.chunk(b"data: 0\n\n")
        await asyncio.sleep(0.05)
        request.writer.transport.abort()

    # Of its own name: one that was silent in another test is passed over for a while.
    cut, burst = stand.external("cut", break_off), stand.external("burst")
    limits = {"concurrency": 5, "requests_per_minute": 600}
    stand.apply(cut, burst, capacity={"base": "cut", "burst": "burst", **limits})
    with pytest.raises(http.client.IncompleteRead):
        stand.ask()


def test_an_endpoint_of_one_model_elsewhere_that_hangs_ends_in_time(stand: Stand) -> None:
    stand.apply(stand.external("main", hang), timeouts={"request": 0.5}, retries=0)
    assert stand.ask().status == 504
    stand.servers["main"].behaviour = echo


def test_a_server_elsewhere_is_believed_by_its_certificate_only(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, context = authority(tmp_path, "localhost")
    with serving(says("secure"), tls=context) as server:
        url = f"https://localhost:{server.port}/v1"
        one = stand.external("main", url=url)
        stand.apply(one, retries=0)
        answer = stand.ask()
        assert answer.status == 503
        assert "remote_connection_failure" in str(stand.line(answer)["unserved"])
        assert server.seen == []
        monkeypatch.setenv(trust.VARIABLE, str(trusted))
        trust.authorities.cache_clear()
        try:
            stand.apply(one, retries=0)
            assert eventually(lambda: stand.ask().status == 200)
        finally:
            trust.authorities.cache_clear()


def test_envoy_starts_again_without_the_credentials_and_takes_them_when_they_come(
    stand: Stand,
) -> None:
    """As after the machine was started anew: what is in memory only is gone."""
    one = stand.external("main", credential="secret:openai")
    stand.apply(one, keys={"chat.main": KEY})
    gateway = stand.gateway
    assert gateway.process is not None
    gateway.process.kill()
    gateway.process.wait(10)
    shutil.rmtree(gateway.root / "credentials")
    xds.write(snapshot.render(gateway.state), gateway.root / "gateway", kinds={"lds", "ecds"})
    gateway.start()
    assert eventually(lambda: stand.ask().status == 503)
    stand.apply(one, keys={"chat.main": KEY})
    assert eventually(lambda: stand.ask().status == 200)
