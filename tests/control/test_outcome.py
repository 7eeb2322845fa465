"""How a request ended is said in words, whatever Envoy calls it."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.control import outcome as outcomes
from plinth.control.outcome import outcome
from plinth.gateway.access_log import parse
from tests.control.test_metering import UNREACHED, line

BROKEN = "upstream_reset_after_response_started{connection_termination}"
UNANSWERED = "upstream_reset_before_response_started"


def said(**fields: Any) -> str | None:
    (record,), _ = parse(line(**fields))
    return outcome(record)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, None),
        ({"code": 500}, None),
        (
            {"code": 0, "details": "downstream_remote_disconnect", "flags": "DC"},
            "the caller went away before the answer",
        ),
        (
            {"details": "downstream_remote_disconnect", "flags": "DC"},
            "the caller went away in the middle of the answer",
        ),
        ({"details": BROKEN, "flags": "UPE"}, "the server broke off in the middle of its answer"),
        ({"code": 503, "details": UNREACHED, "flags": "UF,URX"}, "the connection failed"),
        (
            {"code": 503, "details": f"{UNANSWERED}{{overflow}}", "flags": "UO"},
            "the server has all that it takes at once",
        ),
        (
            {"code": 503, "details": f"{UNANSWERED}{{connection_termination}}", "flags": "UC"},
            "the server ended the connection before it answered",
        ),
        ({"code": 503, "details": "no_healthy_upstream", "flags": "UH"}, "no server is ready"),
        ({"code": 504, "details": "response_timeout", "flags": "UT"}, "no answer in time"),
        ({"code": 504, "details": "something new", "flags": "UT"}, "no answer in time"),
        ({"code": 503, "details": "something new", "flags": "ZZ"}, "something new"),
        ({"code": 429, "details": "local_rate_limited", "flags": "RL"}, "a limit of requests is"),
        ({"code": 429, "details": "request_rate_limited", "flags": "RL"}, "a limit of tokens is"),
        ({"code": 503, "details": "direct_response", "attempts": 0}, "no deployment is ready"),
        (
            {"code": 508, "unserved": "direct_response", "upstream": "envoy://inner/"},
            "the server's address leads back to this Plinth",
        ),
        ({"code": 413, "details": "direct_response", "attempts": 0}, "the body is too large"),
        ({"code": 403, "details": "plinth_denied[too-large]"}, "the body is too large"),
        ({"code": 401, "details": "plinth_denied[revoked]", "flags": "DC"}, "its key was revoked"),
        ({"code": 403, "details": "plinth_denied[newer]"}, "the gateway refused it"),
        ({"code": 400, "details": "plinth_unreadable", "attempts": 0}, "could not read the body"),
    ],
)
def test_every_end_has_its_words(fields: dict[str, Any], words: str | None) -> None:
    found = said(**fields)
    assert found == words if words is None else words in str(found)


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("credential-refused", "the provider refuses its credential"),
        ("credential-wanted", "the provider wants a credential, and the file names none"),
        ("failed_to_inject_credential", "the credential has not reached the gateway"),
        (f"{UNANSWERED}{{remote_connection_failure|delayed", "the connection failed"),
        (f"{UNANSWERED}{{connection_timeout}}", "the connection failed"),
        ("upstream_per_try_timeout", "no answer in time"),
    ],
)
def test_what_an_inner_part_says_counts_more_than_that_it_answered(why: str, words: str) -> None:
    assert said(code=502, unserved=why, upstream="envoy://inner/") == words


def test_no_words_are_envoys_own() -> None:
    texts = [
        *outcomes._REASONS.values(),
        *outcomes._PARTS.values(),
        *outcomes._FLAGS.values(),
    ]
    assert not [each for each in texts if "_" in each or "upstream" in each]
