"""Every answer of Envoy's own says what is so and what to do, in the shape of its address."""

from __future__ import annotations

import json

import pytest

from plinth.gateway import replies, reply, unserved
from plinth.gateway.reply import Reply, Shape, shaped

OURS = [
    *replies._about_requests(),
    *replies._about_sizes(),
    *replies._about_keys(),
    *replies._about_grants(),
    *unserved.server_replies(),
    *unserved._inside(),
]


@pytest.mark.parametrize("each", OURS, ids=lambda each: f"{each.status} {each.message[:40]}")
def test_every_answer_has_a_hint_and_none_of_envoys_flags(each: Reply) -> None:
    assert each.message
    assert each.hint
    for shape in Shape:
        text = json.dumps(shaped(each, shape))
        assert "RESPONSE_FLAGS" not in text
        assert each.hint[:20].replace('"', '\\"') in text


def test_one_that_no_server_answered_names_the_request() -> None:
    told = [each for each in OURS if (each.answer or each.status or 500) >= 500]
    assert told
    for each in told:
        for shape in Shape:
            assert "request %REQ(X-REQUEST-ID)%" in json.dumps(shaped(each, shape))


def test_the_shapes_are_those_of_the_protocols() -> None:
    one = Reply(404, code="not_found", message="no such thing", hint="look there")
    text = "no such thing (hint: look there)"
    assert shaped(one, Shape.V2) == {"error": text}
    assert shaped(one, Shape.OPENAI) == {
        "error": {
            "message": text,
            "type": "invalid_request_error",
            "code": "not_found",
            "param": None,
        }
    }
    assert shaped(one, Shape.OURS) == {
        "error": {"code": "not_found", "message": "no such thing", "hint": "look there"}
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "authentication_error"),
        (403, "permission_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (503, "server_error"),
    ],
)
def test_openais_clients_find_the_type_that_they_know(status: int, kind: str) -> None:
    one = Reply(status, code="c", message="m", hint="h")
    assert shaped(one, Shape.OPENAI)["error"]["type"] == kind


def test_a_key_that_is_none_is_not_repeated() -> None:
    for each in replies._about_keys():
        text = json.dumps(reply.mapper(each, Shape.OPENAI, [])["body_format_override"])
        assert "authorization" not in text.replace("Authorization: Bearer plk_...", "")
        assert reply.BODY not in text


def test_too_many_headers_are_told_apart_from_too_long_ones() -> None:
    many, long = (each for each in OURS if each.status == 431)
    assert "more than 100 headers" in many.message
    assert "too_many_headers" in json.dumps(many.filters)
    assert "larger than 32 KiB" in long.message
    assert long.filters == ()
