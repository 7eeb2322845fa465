from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.gateway.access_log import AccessRecord, parse
from plinth.gateway.listener import LOG_FIELDS
from plinth.gateway.log_line import NAMES, SEPARATOR, log_format, read_line, write_line

LINE: dict[str, Any] = {
    "id": "30aa4e13-2abf-4243-870c-51567d635048",
    "start": "1795351199.307491",
    "ms": 12,
    "principal": "p_ann",
    "team": "ops",
    "key": "k_1",
    "route": "endpoint:delay",
    "cluster": "deployment:r_new",
    "upstream": "/srv/run/r_new.1.sock",
    "method": "POST",
    "path": "/v2/models/delay/infer",
    "code": 200,
    "details": "via_upstream",
    "flags": "-",
    "rx": 94,
    "tx": 120,
    "attempts": 1,
    "served": "r_new",
    "unserved": None,
    "first_ms": 11,
    "asked": None,
    "told": None,
    "rid": None,
    "line": None,
}
# What an older Plinth did not write.
NEW = ("served", "unserved", "first_ms", "asked", "told", "rid", "line")
CHAT = {
    "route": "endpoint:chat",
    "path": "/v1/chat/completions",
    "usage": '{"prompt_tokens": 9, "completion_tokens": 3}',
}


def line(**changes: Any) -> bytes:
    """Write a line as Envoy does; with fields that it writes no more, as an older Plinth's did."""
    values = {**LINE, **changes}
    return write_line(values) if values.keys() <= set(NAMES) else in_json(values)


def in_json(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def test_a_line_becomes_a_record() -> None:
    records, consumed = parse(line())
    assert consumed == len(line())
    assert records == [
        AccessRecord(
            request_id="30aa4e13-2abf-4243-870c-51567d635048",
            started_at=datetime(2026, 11, 22, 12, 39, 59, 307491, UTC),
            duration_ms=12,
            principal="p_ann",
            team="ops",
            key_id="k_1",
            endpoint="delay",
            deployment="r_new",
            method="POST",
            path="/v2/models/delay/infer",
            code=200,
            details="via_upstream",
            flags="",
            rx=94,
            tx=120,
            attempts=1,
            upstream="/srv/run/r_new.1.sock",
            first_ms=11,
        )
    ]
    assert records[0].replica == 1


def record(**changes: Any) -> AccessRecord:
    (found,), _ = parse(line(**changes))
    return found


def test_a_line_of_an_older_plinth_is_read_as_before() -> None:
    old = {name: value for name, value in LINE.items() if name not in NEW}
    (found,), _ = parse(in_json(old))
    assert (found.deployment, found.first_ms, found.tokens) == ("r_new", None, None)
    assert found.was_served


def test_who_served_is_told_when_several_could() -> None:
    spilled = record(cluster="way:delay", served="delay.azure", attempts=2)
    assert (spilled.deployment, spilled.external, spilled.was_spilled) == (
        *("delay.azure", "azure"),
        True,
    )
    assert not record(cluster="way:delay").was_spilled
    assert (record().external, record(served=None).deployment) == (None, "r_new")


def test_what_the_gateway_answered_in_a_deployments_place_was_served_by_nobody() -> None:
    fields = {"code": 503, "unserved": "no_connection", "served": "chat.azure"}
    dead = record(**CHAT, **fields, upstream="envoy://inner/")
    assert not dead.was_served
    assert dead.tokens is None


def test_a_server_that_says_that_it_served_nobody_is_not_believed() -> None:
    liar = record(**CHAT, unserved="lie")
    assert liar.was_served
    assert liar.tokens is not None


def test_a_stream_tells_in_its_last_event_the_rest_of_what_it_told_in_its_first() -> None:
    chat = {**CHAT, "stream": True, "events": 9, "usage": '{"output_tokens": 40}'}
    first = '{"input_tokens": 7, "output_tokens": 1}'
    whole = record(**chat, usage_first=first).tokens
    assert whole is not None
    assert whole.usage.to_json() == {"input_tokens": 7, "output_tokens": 40}
    assert whole.estimated == frozenset()


def test_the_one_token_that_a_cut_stream_of_anthropic_begins_with_is_not_its_output() -> None:
    first = '{"input_tokens": 7, "output_tokens": 1}'
    chat = {**CHAT, "stream": "true", "events": 9, "flags": "DC", "usage": first}
    cut = record(**chat, details="downstream_remote_disconnect").tokens
    assert cut is not None
    assert cut.usage.to_json() == {"input_tokens": 7, "output_tokens": 8}
    assert cut.estimated == {"output_tokens"}


def test_names_and_numbers_of_strangers_are_kept_short_and_printable() -> None:
    assert record(answered="a" * 999).answered == "a" * 256
    assert record(answered="a\u202eb").answered is None
    assert record(answered=7, max="1e9", events="x").max_tokens is None
    assert record(max="16", rid="g1").max_tokens == 16
    assert record(rid="g1").reservation == "g1"


def test_this_is_the_line_that_envoy_is_told_to_write() -> None:
    assert LINE.keys() == LOG_FIELDS.keys()
    # The shadows' log has one field more.
    assert {*LOG_FIELDS, "owner"} == set(NAMES)
    text = log_format(LOG_FIELDS)["text_format_source"]["inline_string"]
    assert text.count(SEPARATOR) == len(NAMES)
    assert text.count("\n") == 1


ANY_TEXT = st.text(st.characters(exclude_characters="\n\x1f", codec="utf-8"), max_size=20)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, st.none() | ANY_TEXT)))
def test_a_line_says_what_json_says(values: dict[str, Any]) -> None:
    whole = {**dict.fromkeys(NAMES), **LINE, **values}
    said = {name: None if text is None else str(text) or None for name, text in whole.items()}
    assert read_line(write_line(whole)) == said
    assert parse(write_line(whole)) == (parse(in_json(said))[0], len(write_line(whole)))


@pytest.mark.parametrize("cut", [b"1", b"2\x1f", b"1" + b"\x1f" * 30])
def test_a_line_with_other_fields_is_none(cut: bytes) -> None:
    with pytest.raises(ValueError, match="other fields"):
        read_line(cut)
    assert parse(cut + b"\n" + line())[0] == parse(line())[0]


def test_bytes_that_are_no_text_spoil_one_field() -> None:
    spoilt = line(line="x").replace(b"\x1fx\x1f", b"\x1f\xff\x1f")
    ((found,), _) = parse(spoilt)
    assert (found.line, found.request_id) == ("\ufffd", LINE["id"])


def test_a_request_that_nobody_could_read_is_a_record_without_a_caller() -> None:
    nothing = dict.fromkeys(
        ("principal", "team", "key", "route", "cluster", "served", "method", "path"), None
    )
    (record,), _ = parse(line(**nothing, code=400, flags="DPE"))
    assert (record.principal, record.endpoint, record.deployment) == (None, None, None)
    assert record.flags == "DPE"


def test_a_line_of_an_older_plinth_does_not_say_which_replica_served() -> None:
    old = {name: value for name, value in LINE.items() if name != "upstream"}
    (record,), _ = parse(in_json(old))
    assert (record.request_id, record.upstream, record.replica) == (LINE["id"], None, None)


@pytest.mark.parametrize(
    "upstream",
    [
        *(None, "-", "127.0.0.1:80", "/srv/run/control.sock", "/srv/run/r_old.1.sock"),
        *("/srv/run/r_new.sock", "/srv/run/r_new.x.sock", "/srv/run/r_new.\u0662.sock"),
    ],
)
def test_what_is_no_socket_of_the_deployment_is_no_replica_of_it(upstream: str | None) -> None:
    (record,), _ = parse(line(upstream=upstream))
    assert record.replica is None


def test_a_candidate_is_at_nobodys_charge() -> None:
    (record,), _ = parse(line(route="candidate:delay"))
    assert (record.endpoint, record.deployment) == (None, "r_new")


def test_how_a_flow_is_called_is_told_at_nobodys_charge() -> None:
    asked = {"route": "endpoint:answers", "path": "/swagger.json"}
    assert record(**asked, method="GET").endpoint is None
    assert record(**asked, method="POST").endpoint == "answers"
    assert record(**{**asked, "path": "/score"}, method="GET").endpoint == "answers"


UNREACHED = "upstream_reset_before_response_started{remote_connection_failure|refused}"
DIED = "upstream_reset_before_response_started{connection_termination}"
BROKE_OFF = "upstream_reset_after_response_started{protocol_error}"
LEFT = "downstream_remote_disconnect"


@pytest.mark.parametrize(
    ("changes", "served"),
    [
        # What a real Envoy wrote in each case: tests/journeys/test_gateway_usage.py.
        ({}, True),
        ({"code": 400}, True),
        ({"attempts": 4}, True),
        ({"code": 500}, True),
        ({"code": 503, "flags": "URX,UF", "details": UNREACHED, "attempts": 11}, False),
        ({"code": 503, "flags": "URX,UC", "details": DIED, "attempts": 11}, False),
        ({"code": 503, "flags": "UC", "details": DIED}, False),
        ({"code": 503, "flags": "URX", "attempts": 11}, False),
        ({"flags": "UPE", "details": BROKE_OFF}, True),
        ({"code": 0, "flags": "DC", "details": LEFT}, True),
        ({"code": 0, "flags": "DC", "details": LEFT, "attempts": 5}, False),
        ({"code": 200, "flags": "DC", "details": LEFT, "attempts": 2}, True),
        ({"code": 504, "flags": "UT", "details": "response_timeout"}, True),
        ({"code": 504, "flags": "UT", "details": "response_timeout", "attempts": 2}, False),
        ({"code": 503, "flags": "UH", "details": "no_healthy_upstream", "attempts": 0}, False),
        ({"code": 503, "flags": "UO", "details": "overflow", "attempts": 0}, False),
        ({"code": 503, "flags": "NC", "details": "cluster_not_found", "attempts": 0}, False),
        ({"code": 404, "flags": "NR", "details": "route_not_found", "attempts": 0}, False),
        ({"code": 403, "details": "rbac_access_denied", "attempts": 0}, False),
        ({"code": 503, "details": "direct_response", "attempts": 0}, False),
        ({"details": None}, False),
    ],
    ids=str,
)
def test_only_what_a_server_had_was_served(changes: dict[str, Any], served: bool) -> None:
    (record,), _ = parse(line(**changes))
    assert record.was_served is served


def test_a_half_written_line_stays_for_the_next_time() -> None:
    whole = line() + line(id="second")
    records, consumed = parse(whole[:-5])
    assert len(records) == 1
    rest, _ = parse(whole[consumed:])
    assert [record.request_id for record in rest] == ["second"]


def test_junk_is_passed_over() -> None:
    junk = b'not json\n{"id": 1}\n[]\nnull\n\xff\xfe\n\n' + line(start="NaN") + line(start="1e400")
    records, consumed = parse(junk + line())
    assert len(records) == 1
    assert consumed == len(junk) + len(line())


def test_nothing_gives_nothing() -> None:
    assert parse(b"") == ([], 0)
    assert parse(b"half") == ([], 0)


@given(st.integers(1, 6), st.lists(st.integers(0, 2000), max_size=8))
def test_wherever_the_file_is_cut_every_record_is_read_once(lines: int, cuts: list[int]) -> None:
    whole = b"".join(line(id=str(number)) for number in range(lines))
    position, seen = 0, []
    for end in [*sorted(cuts), len(whole)]:
        records, consumed = parse(whole[position:end])
        position += consumed
        seen += [record.request_id for record in records]
    assert seen == [str(number) for number in range(lines)]


@given(st.binary(max_size=300))
def test_no_bytes_can_make_it_fail(chunk: bytes) -> None:
    _, consumed = parse(chunk)
    assert 0 <= consumed <= len(chunk)


def test_what_stands_in_one_text_is_read_like_fields_of_their_own() -> None:
    asked = '{"stream":true,"model":"gpt-?4","max":14}'
    usage = '"usage":{"output_tokens":3},"usage_first":{"input_tokens":9}'
    told = f'{{"answered":"small-1",{usage},"events":4}}'
    found = record(**{**CHAT, "usage": None}, asked=asked, told=told)
    assert (found.is_stream, found.model, found.max_tokens) == (True, "gpt-?4", 14)
    assert (found.answered, found.events) == ("small-1", 4)
    assert found.usage == {"input_tokens": 9, "output_tokens": 3}


@pytest.mark.parametrize("text", ["{", '{"usage":{"a":"}"}', "[1]", "7", ""])
def test_a_text_that_is_no_object_says_nothing(text: str) -> None:
    found = record(**{**CHAT, "usage": None}, asked=text, told=text)
    assert (found.is_stream, found.usage, found.events) == (False, None, None)


def test_who_was_refused_learns_nothing_of_what_there_is() -> None:
    refused = {"code": 403, "details": "rbac_access_denied_matched_policy[none]"}
    found = record(**{**CHAT, "served": "r_new"}, **refused)
    assert (found.endpoint, found.deployment) == (None, None)
    assert record(**CHAT).endpoint == "chat"
