from __future__ import annotations

from plinth.gateway.guard import answer
from plinth.gateway.guard.core import Admitted, Refused, Reservation
from plinth.gateway.guard.cost import Need
from plinth.gateway.guard.limit import Asked, GuardedLimit
from tests.gateway.guard_stand import OK, OVER, Reply, reply

LIMIT = GuardedLimit("support/research", 10_000, endpoint="support", team="research")
ASKED = Asked("support", "research", "k_1", max_tokens=1000)


def refuse(
    need: tuple[int, int] = (64, 1000),
    used: tuple[int, int] = (9500, 0),
    wait_s: float = 11.2,
    asked: Asked = ASKED,
    limit: GuardedLimit = LIMIT,
) -> Reply:
    total = sum(need)
    refused = Refused(
        limit, asked, Need(*need), *used, wait_s, 58.4, is_never=total > limit.per_minute
    )
    return reply(answer.refuse(refused))


def test_an_admitted_request_is_told_what_is_left_in_openais_names() -> None:
    reservation = Reservation("g-1", 0.0, (("support/research", "tokens", 1064),))
    found = reply(answer.admit(Admitted(reservation, LIMIT, 8936)))
    assert (found.code, found.reservation) == (OK, "g-1")
    assert found.headers == {
        "x-ratelimit-limit-tokens": "10000",
        "x-ratelimit-remaining-tokens": "8936",
        "x-ratelimit-reset-tokens": "1m0s",
    }


def test_a_refusal_says_which_limit_of_whom_and_when_to_try_again() -> None:
    found = refuse()
    assert found.code == OVER
    assert found.headers == {
        "content-type": "application/json",
        "retry-after": "12",
        "x-ratelimit-limit-tokens": "10000",
        "x-ratelimit-remaining-tokens": "500",
        "x-ratelimit-reset-tokens": "59s",
    }
    error = found.body["error"]
    assert error["plinth"] == {
        "limit": "support/research",
        "team": "research",
        "endpoint": "support",
        "per_minute": 10_000,
        "used": 9500,
        "reserved": 0,
        "requested": 1064,
        "resets_in_s": 59,
    }
    assert (error["type"], error["code"], error["param"]) == ("tokens", "rate_limit_exceeded", None)
    assert error["message"] == (
        "limit `support/research`: team `research` at endpoint `support` may use 10,000 tokens in "
        "60 s; 9,500 were used. This request may need 1,064 (64 of input, 1,000 of output). "
        "Try again in 12 s."
    )


def test_what_is_only_reserved_may_be_free_again_in_a_second() -> None:
    found = refuse(used=(0, 9500), wait_s=0.0)
    assert found.headers["retry-after"] == "1"
    assert "9,500 are reserved by requests that have not ended" in found.body["error"]["message"]


def test_what_never_fits_is_told_what_to_change_and_not_to_try_again() -> None:
    found = refuse((64, 20_000), asked=Asked("support", "research", "k_1", max_tokens=20_000))
    assert "retry-after" not in found.headers
    assert found.headers["x-should-retry"] == "false"
    message = found.body["error"]["message"]
    assert "never admitted" in message
    assert message.endswith("Hint: lower the most tokens of output (times `n`) to at most 9,936.")
    unsaid = refuse((64, 20_000), asked=Asked("support", "research", "k_1"))
    assert unsaid.body["error"]["message"].endswith("Hint: send `max_tokens`, of at most 9,936.")
    long = refuse((20_000, 5)).body["error"]["message"]
    assert long.endswith("Hint: send a shorter input.")


def test_a_refusal_names_whose_limit_it_is() -> None:
    cases = {
        "key `k_1` at": GuardedLimit("a", 100, endpoint="support", key="k_1"),
        "key `k_1` may": GuardedLimit("a", 100, each="key"),
        "team `research` may": GuardedLimit("a", 100, each="team"),
        "all callers together at endpoint `support` may": GuardedLimit(
            "a", 100, endpoint="support"
        ),
    }
    for words, limit in cases.items():
        assert words in refuse(limit=limit).body["error"]["message"]


def test_what_cannot_be_read_is_refused_in_the_same_shape() -> None:
    found = reply(answer.refuse_unreadable())
    assert found.code == OVER
    assert found.body["error"]["code"] == "invalid"
