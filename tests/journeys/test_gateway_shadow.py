"""Copies of requests: nobody waits for them, their owner pays for them, some pairs are kept.

A journey because Envoy makes the copies, and writes down what was answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from plinth.gateway import shadow
from tests.conformance.upstream_stand import Request, echo, hang, says
from tests.journeys.gateway_stand import Answer, eventually
from tests.journeys.spill_stand import Stand, running_stand

KEY = b"sk-of-the-provider"


@pytest.fixture(scope="module")
def stand(free_port: Callable[[], int]) -> Iterator[Stand]:
    with running_stand(free_port) as running:
        yield running


def server_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-name"]


def shadowed(stand: Stand, percent: float = 100, kind: str = "hosted") -> None:
    blue = stand.hosted("blue", says("blue"))
    if kind == "hosted":
        stand.apply(blue, stand.hosted("green", says("green")), **policy(percent))
        return
    other = stand.external("other", says("other"), model="gpt", credential="secret:x")
    stand.apply(blue, other, keys={"chat.other": KEY}, **policy(percent, "other"))


def policy(percent: float, name: str = "green") -> dict[str, dict[str, float]]:
    return {"traffic": {"blue": 100, name: 0}, "mirror": {name: percent}}


def test_a_copy_is_answered_by_the_other_one_and_logged_for_its_owner(stand: Stand) -> None:
    shadowed(stand)
    answer = stand.ask()
    assert server_of(answer) == "blue"
    assert eventually(lambda: len(stand.servers["green"].seen) == 1)
    (copy,) = stand.servers["green"].seen
    (request,) = stand.servers["blue"].seen
    assert copy.body == request.body
    assert copy.headers["x-request-id"] == answer.headers["x-plinth-id"]
    assert "plk_" not in json.dumps(copy.headers)
    line, caller = stand.line(answer, "shadow.log"), stand.line(answer)
    assert (line["owner"], line["served"], line["code"]) == ("ops", "r_green", 200)
    assert (line["route"], line["principal"]) == ("endpoint:chat", "p_ann")
    assert caller["served"] == "r_blue"
    assert line.keys() == {*caller, "owner"}


def test_the_usage_of_a_copy_stands_in_its_own_line(stand: Stand) -> None:
    shadowed(stand)

    async def answer_with_usage(request: Request) -> None:
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        await request.reply(body=json.dumps({"model": "m", "usage": usage}).encode())

    stand.servers["green"].behaviour = answer_with_usage
    answer = stand.ask()
    line = stand.line(answer, "shadow.log")
    assert json.loads(line["told"])["usage"]["total_tokens"] == 7
    assert stand.line(answer)["told"] is None


@pytest.mark.parametrize("behaviour", [hang, says("green", 500), echo], ids=["hangs", "500", "ok"])
def test_a_caller_never_waits_for_a_copy_nor_sees_what_became_of_it(
    stand: Stand, behaviour: Callable[[Request], object]
) -> None:
    shadowed(stand)
    stand.servers["green"].behaviour = behaviour  # type: ignore[assignment]
    # One that hangs does so for an hour.
    for _ in range(10):
        answer = stand.ask()
        assert server_of(answer) == "blue"
    stand.servers["green"].behaviour = echo


def test_a_copy_of_a_dead_one_costs_nothing(stand: Stand) -> None:
    gone = stand.external("gone")
    stand.apply(
        stand.hosted("blue", says("blue")),
        gone,
        traffic={"blue": 100, "gone": 0},
        mirror={"gone": 100},
    )
    stand.servers["gone"].stop()
    answer = stand.ask()
    assert server_of(answer) == "blue"
    line = stand.line(answer, "shadow.log")
    assert line["code"] == 503


@pytest.mark.parametrize(("percent", "least", "most"), [(0.5, 0, 20), (30, 60, 130)])
def test_any_share_of_the_requests_is_copied(
    stand: Stand, percent: float, least: int, most: int
) -> None:
    shadowed(stand, percent)
    for _ in range(300):
        assert server_of(stand.ask()) == "blue"
    assert least <= len(stand.servers["green"].seen) <= most


def test_a_model_elsewhere_gets_copies_in_its_own_words(stand: Stand) -> None:
    shadowed(stand, kind="external")
    assert server_of(stand.ask()) == "blue"
    assert eventually(lambda: len(stand.servers["other"].seen) == 1)
    (copy,) = stand.servers["other"].seen
    assert copy.headers["authorization"] == f"Bearer {KEY.decode()}"
    assert json.loads(copy.body)["model"] == "gpt"
    assert not [name for name in copy.headers if name.startswith("x-plinth")]


@pytest.mark.parametrize("kind", ["hosted", "external"])
def test_of_some_requests_both_answers_are_kept(stand: Stand, kind: str) -> None:
    shadowed(stand, kind=kind)
    folder = stand.gateway.root / "gateway"
    shadow.prune(folder, most=0)
    names = {}
    for number in range(500):
        body = json.dumps({"model": "chat", "number": number}).encode()
        answer = stand.ask(body, authorization_of_the_day="none")
        names[answer.headers["x-plinth-id"]] = number
        assert stand.line(answer)["served"] == "r_blue" if number < 3 else True
    assert eventually(lambda: len(shadow.pairs(folder)) > 0)
    kept = shadow.pairs(folder)
    assert 0 < len(kept) < 40
    for pair in kept:
        assert json.loads(pair.request)["number"] == names[pair.request_id]
        assert (pair.answer.status, pair.shadow.status) == (200, 200)
        assert pair.answer.body == pair.shadow.body == "{}"
        assert not pair.answer.is_cut
    texts = [path.read_bytes() for path in (folder / "pairs").iterdir()]
    assert not [text for text in texts if b"plk_" in text or KEY in text]
    assert (folder / "pairs").stat().st_mode & 0o777 == 0o700
    shadow.prune(folder, most=1)
    assert len(list((folder / "pairs").iterdir())) == 1


def test_a_large_answer_is_kept_in_part(stand: Stand) -> None:
    shadowed(stand)

    async def answer_much(request: Request) -> None:
        await request.reply(body=b"x" * (shadow.MOST_BYTES + 1000), headers={"x-name": "blue"})

    stand.servers["blue"].behaviour = answer_much
    folder = stand.gateway.root / "gateway"
    shadow.prune(folder, most=0)

    def is_kept() -> bool:
        assert len(stand.ask().body) == shadow.MOST_BYTES + 1000
        return bool(shadow.pairs(folder))

    assert eventually(is_kept, 30)
    pair = shadow.pairs(folder)[0]
    assert pair.answer.is_cut
    assert len(pair.answer.body) == shadow.MOST_BYTES
