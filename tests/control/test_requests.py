"""A line of the gateway's log is usage by meter, once, and adds to the counters."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from plinth.control.requests import read_request, read_shadow
from plinth.domain.usage import Meter
from plinth.gateway.log_line import behind, write_line
from plinth.gateway.names import way_cluster
from plinth.metering.counters import Series
from plinth.metering.journal import Journal, Line, Reading
from plinth.metering.ledger import Ledger
from tests.control.test_metering import UNREACHED, line

CHAT = {"route": "endpoint:chat", "path": "/v1/chat/completions", "rx": 400, "tx": 800}
USAGE = {
    "prompt_tokens": 90,
    "completion_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 64},
}


def chat(**changed: Any) -> bytes:
    return line(**{**CHAT, "usage": json.dumps(USAGE), "answered": "small-1", **changed})


def tokens(said: Line) -> dict[str, float]:
    return {draft.meter: draft.quantity for draft in said.drafts if draft.meter != Meter.REQUESTS}


def count(said: Line, name: str, **labels: str) -> float:
    """Return what a line adds to the series of a name that have these labels."""
    return sum(
        value
        for series, value in said.counts.items()
        if series.name == name and labels.items() <= dict(series.labels).items()
    )


def test_a_request_that_reached_a_model_is_one_request_of_the_callers_team() -> None:
    (draft,) = read_request(line()).drafts
    assert (draft.meter, draft.quantity, draft.team) == (Meter.REQUESTS, 1.0, "ops")
    assert (draft.workload, draft.run, draft.principal) == ("endpoint/delay", "r_a", "p_a")
    assert (draft.request_id, draft.replica, draft.shadow) == ("q1", 1, False)
    assert (draft.ended_at - draft.started_at).total_seconds() == 0.25


@pytest.mark.parametrize(
    "changed",
    [
        {"attempts": 0, "code": 403, "details": "rbac_access_denied"},
        {"attempts": 11, "code": 503, "flags": "URX,UF", "details": UNREACHED},
        {"team": None},
        {"route": "api"},
        {"route": None},
    ],
    ids=str,
)
def test_what_reached_no_model_is_no_usage(changed: dict[str, Any]) -> None:
    assert read_request(line(**changed)).drafts == ()
    assert read_request(chat(**changed)).drafts == ()


@pytest.mark.parametrize("content", [b"", b"{}", b"garbage", b'{"id": 1'])
def test_what_is_no_record_is_said(content: bytes) -> None:
    for read in (read_request, read_shadow):
        with pytest.raises(ValueError, match="not a record"):
            read(content)


def test_tokens_are_counted_beside_the_request_and_say_which_model_answered() -> None:
    said = read_request(chat())
    assert [draft.meter for draft in said.drafts] == [
        Meter.REQUESTS,
        Meter.INPUT_TOKENS,
        Meter.OUTPUT_TOKENS,
        Meter.CACHED_INPUT_TOKENS,
    ]
    assert tokens(said) == {"input_tokens": 90, "output_tokens": 30, "cached_input_tokens": 64}
    assert {(draft.model, draft.estimated, draft.request_id) for draft in said.drafts} == {
        ("small-1", False, "q1")
    }


def test_an_answer_without_usage_is_an_estimate_and_says_so() -> None:
    said = read_request(chat(usage=None))
    assert tokens(said) == {"input_tokens": 100, "output_tokens": 200}
    assert {draft.meter: draft.estimated for draft in said.drafts} == {
        Meter.REQUESTS: False,
        Meter.INPUT_TOKENS: True,
        Meter.OUTPUT_TOKENS: True,
    }
    assert count(said, "plinth_estimated_tokens_total") == 300


def test_a_stream_that_the_caller_left_is_estimated_from_its_events() -> None:
    left = chat(
        usage=None, stream=True, events=12, flags="DC", details="downstream_remote_disconnect"
    )
    assert tokens(read_request(left)) == {"input_tokens": 100, "output_tokens": 11}


def test_a_stream_whose_server_died_is_estimated_too() -> None:
    died = chat(
        usage=None,
        stream="true",
        events=12,
        flags="UPE",
        details="upstream_reset_after_response_started{connection_termination}",
    )
    assert tokens(read_request(died)) == {"input_tokens": 100, "output_tokens": 11}


def test_who_leaves_before_the_answer_has_sent_an_input() -> None:
    left = chat(usage=None, code=0, tx=0, flags="DC", details="downstream_remote_disconnect")
    assert tokens(read_request(left)) == {"input_tokens": 100}


def test_an_answer_that_refuses_has_no_tokens() -> None:
    assert tokens(read_request(chat(usage=None, code=429))) == {}
    assert len(read_request(chat(usage=None, code=429)).drafts) == 1


def test_an_embedding_has_input_only() -> None:
    embedding = chat(path="/v1/embeddings", usage='{"prompt_tokens": 8, "total_tokens": 8}')
    assert tokens(read_request(embedding)) == {"input_tokens": 8}
    assert tokens(read_request(chat(path="/v1/embeddings", usage=None))) == {"input_tokens": 100}


def test_azures_addresses_count_tokens_too() -> None:
    azure = chat(path="/openai/deployments/chat/chat/completions")
    assert tokens(read_request(azure))["input_tokens"] == 90


def test_speech_counts_only_what_is_reported() -> None:
    path = "/v1/audio/transcriptions"
    assert tokens(read_request(chat(path=path, usage=None))) == {}
    assert tokens(read_request(chat(path=path, usage='{"type": "duration", "seconds": 9}'))) == {}
    assert tokens(read_request(chat(path=path, usage='{"input_tokens": 14}'))) == {
        "input_tokens": 14
    }


def test_what_another_protocol_calls_usage_is_not_counted() -> None:
    assert tokens(read_request(line(usage=json.dumps(USAGE)))) == {}


@pytest.mark.parametrize("usage", ["[" * 20_000, "{", "7", '"x"', "null", "[]"])
def test_usage_that_is_no_object_is_estimated(usage: str) -> None:
    assert tokens(read_request(chat(usage=usage))) == {"input_tokens": 100, "output_tokens": 200}


def test_numbers_that_cannot_be_true_are_counted_as_doubts() -> None:
    said = read_request(chat(usage='{"prompt_tokens": -5, "completion_tokens": 1e30}'))
    assert tokens(said) == {"input_tokens": 100, "output_tokens": 200}
    assert count(said, "plinth_doubted_usage_total", endpoint="chat") == 2
    assert all(draft.estimated for draft in said.drafts[1:])


def test_an_external_deployment_has_a_name_and_no_run() -> None:
    said = read_request(chat(cluster=way_cluster("chat"), served="chat.azure", attempts=2))
    assert {(draft.run, draft.deployment) for draft in said.drafts} == {(None, "azure")}
    assert count(said, "plinth_spilled_requests_total", deployment="chat.azure") == 1
    assert count(said, "plinth_request_attempts_total") == 2


def test_a_request_sent_again_to_the_same_deployment_was_not_spilled() -> None:
    assert count(read_request(chat(attempts=2)), "plinth_spilled_requests_total") == 0


def test_a_copy_is_charged_to_the_endpoints_own_team_under_an_id_of_its_own() -> None:
    said = read_shadow(chat(owner="models"))
    assert {(draft.team, draft.principal, draft.shadow) for draft in said.drafts} == {
        ("models", None, True)
    }
    assert {draft.request_id for draft in said.drafts} == {"shadow/r_a/q1"}
    assert tokens(said)["input_tokens"] == 90
    assert count(said, "plinth_shadow_tokens_total", meter="input_tokens") == 90
    assert count(said, "plinth_requests_total") == count(said, "plinth_tokens_total") == 0


def test_a_copy_of_nobodys_endpoint_charges_nobody() -> None:
    assert read_shadow(chat()).drafts == ()
    assert read_shadow(line(route="api")) == Line()


def test_every_request_is_counted_by_its_class_whoever_was_served() -> None:
    refused = read_request(chat(team=None, code=401, attempts=0, details="jwt", cluster=None))
    assert count(refused, "plinth_requests_total", team="", endpoint="chat", code="4xx") == 1
    assert count(refused, "plinth_request_duration_seconds") == 0
    left = read_request(chat(code=0, flags="DC", details="downstream_remote_disconnect"))
    assert count(left, "plinth_requests_total", code="none") == 1


def test_durations_fall_into_one_bucket_and_the_sum() -> None:
    said = read_request(chat(ms=250, first_ms=20))
    place = (("endpoint", "chat"), ("deployment", "r_a"))
    found = {series: value for series, value in said.counts.items() if "_seconds" in series.name}
    assert found == {
        Series("plinth_request_duration_seconds", (*place, ("le", "0.25"))): 1.0,
        Series("plinth_request_duration_seconds", (*place, ("le", "sum"))): 0.25,
        Series("plinth_request_first_byte_seconds", (*place, ("le", "0.025"))): 1.0,
        Series("plinth_request_first_byte_seconds", (*place, ("le", "sum"))): 0.02,
    }


def test_what_is_for_no_endpoint_is_counted_apart() -> None:
    assert read_request(line(route="api", code=404)).counts == {
        Series("plinth_other_requests_total", (("code", "4xx"),)): 1.0
    }


def test_a_line_of_a_batch_is_known_by_its_number_however_often_it_is_sent() -> None:
    first, second = (
        read_request(chat(principal="q_a", line="q_a-7", id=each)).drafts for each in ("x", "y")
    )
    assert {draft.request_id for draft in (*first, *second)} == {"q_a-7"}


@pytest.mark.parametrize(
    ("principal", "said"),
    [("p_a", "p_a-7"), ("q_a", "q_b-7"), ("q_a", "7"), ("q_a", None), (None, "None-7")],
)
def test_nobody_else_is_believed_which_request_it_is(principal: str, said: str | None) -> None:
    drafts = read_request(chat(principal=principal, line=said, id="x")).drafts
    assert {draft.request_id for draft in drafts} == {"x"}


@pytest.mark.parametrize(
    "changed",
    [
        {"flags": "DC", "code": 0, "details": "downstream_remote_disconnect", "usage": None},
        {"flags": "UT", "code": 504, "details": "response_timeout", "usage": None},
        {"flags": "UPE", "code": 200, "details": "upstream_reset_after_response_started{x}"},
        {"code": 500},
        {"code": 429},
    ],
    ids=str,
)
def test_what_a_batch_asks_again_is_not_charged_for_this_time(changed: dict[str, Any]) -> None:
    assert read_request(chat(principal="q_a", line="q_a-7", **changed)).drafts == ()
    assert read_request(chat(principal="p_a", line="q_a-7", **changed)).drafts


@pytest.mark.parametrize("code", [200, 400, 404])
def test_what_a_batch_does_not_ask_again_is_charged(code: int) -> None:
    assert read_request(chat(principal="q_a", line="q_a-7", code=code)).drafts


def test_a_line_read_twice_says_the_same() -> None:
    assert read_request(chat()) == read_request(chat())


def in_text(number: int) -> bytes:
    told = '{"usage":{"total_tokens":3}}'
    return write_line({**json.loads(line(id=f"r-{number}")), "told": told, "line": '{"a'})


@pytest.mark.parametrize(
    ("torn", "whole"),
    [
        (in_text(1), in_text(2)),
        # An older Plinth's.
        (line(id="r-1"), in_text(2)),
        (line(id="r-1"), line(id="r-2")),
    ],
    ids=["text-text", "json-text", "json-json"],
)
def test_a_whole_line_behind_the_half_of_a_killed_envoy_counts(
    tmp_path: Path, torn: bytes, whole: bytes
) -> None:
    log, reading = tmp_path / "access.log", Reading(read_request, behind=behind)
    for cut in range(1, len(torn)):
        log.write_bytes(torn[:cut] + whole + in_text(3))
        with closing(Ledger(tmp_path / f"{cut}.db")) as ledger:
            found = Journal(log, ledger, reading).collect()
            ids = [each.request_id for each in ledger.records() if each.meter is Meter.REQUESTS]
        assert (found.malformed, ids) == (0, ["r-2", "r-3"]), torn[:cut]
