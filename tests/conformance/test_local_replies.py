"""What Envoy's own answers can say of a request, and what its buckets of requests tell.

`gateway/reply.py`, `told.py` and `limits.py` rely on it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.stand import (
    Envoy,
    Json,
    Upstream,
    cluster,
    eventually,
    listener,
    routes,
    running_envoy,
    to,
    typed,
)

LIMIT = "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
WHOLE: Json = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
FOUND = "xds.route_metadata.filter_metadata"
BODY: Json = {
    "limits": f"%METADATA(ROUTE:words:all)%%CEL({FOUND}['words.key'][request.headers['x-key']])%.",
    "absent": "%METADATA(ROUTE:nothing:all)%",
    "seconds": "%TYPED_CEL(int(response.headers['retry-after']))%",
    "limit": "%RESP(X-RATELIMIT-LIMIT)%",
    "literal": None,
}


def _bucket(size: int, interval: str = "2s") -> Json:
    return {"max_tokens": size, "tokens_per_fill": size, "fill_interval": interval}


def _limits() -> Json:
    entries = [{"key": "limit", "value": "one"}, {"key": "key"}]
    return typed(
        "limits",
        LIMIT,
        stat_prefix="limits",
        token_bucket=_bucket(4_000_000_000),
        filter_enabled=WHOLE,
        filter_enforced=WHOLE,
        descriptors=[{"entries": entries, "token_bucket": _bucket(4)}],
        max_dynamic_descriptors=100,
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        enable_retry_after_header=True,
    )


def _replies() -> Json:
    always = {"status_code_filter": {"comparison": {"op": "GE", "value": _number(400)}}}
    wanted = {"header_filter": {"header": {"name": "x-whole", "present_match": True}}}
    whole = {"filter": wanted, "body_format_override": {"json_format": BODY}}
    lean: Json = {"json_format": BODY, "omit_empty_values": True}
    return {"mappers": [whole, {"filter": always, "body_format_override": lean}]}


def _number(value: int) -> Json:
    return {"default_value": value, "runtime_key": "unused"}


@pytest.fixture(scope="module")
def envoy() -> Iterator[Envoy]:
    actions = [
        {"generic_key": {"descriptor_key": "limit", "descriptor_value": "one"}},
        {"request_headers": {"header_name": "x-key", "descriptor_key": "key"}},
    ]
    words = {"words": {"all": "each key 4; "}, "words.key": {"known": "key known 9; "}}
    route = to(
        "up",
        route={"rate_limits": [{"actions": actions}]},
        metadata={"filter_metadata": words},
    )
    upstream = Upstream()
    front = listener([_limits()], routes(route), local_reply_config=_replies())
    try:
        with running_envoy([front], [cluster("up", upstream.port)]) as running:
            yield running
    finally:
        upstream.end()


def test_an_answer_of_envoys_own_reads_the_metadata_of_its_route_by_a_header(
    envoy: Envoy,
) -> None:
    for key, words in (("known", "each key 4; key known 9; ."), ("other", "each key 4; .")):
        answers = [envoy.ask("/", headers={"x-key": key}) for _ in range(5)]
        assert answers[-1].json["limits"] == words


def test_an_answer_of_envoys_own_sees_when_to_come_again_and_not_which_bucket_it_was(
    envoy: Envoy,
) -> None:
    answers = [envoy.ask("/", headers={"x-key": "seer", "x-whole": "1"}) for _ in range(5)]
    last = answers[-1]
    assert last.json["seconds"] == int(last.headers["retry-after"]) == 1
    # The filter adds these behind it.
    assert last.json["limit"] is None
    assert last.headers["x-ratelimit-limit"] == "4"
    assert (last.json["absent"], last.json["literal"]) == (None, None)


def test_what_is_empty_can_be_left_out(envoy: Envoy) -> None:
    answers = [envoy.ask("/", headers={"x-key": "lean"}) for _ in range(5)]
    assert set(answers[-1].json) == {"limits", "seconds"}


def test_a_bucket_fills_all_the_time_and_its_reset_is_the_next_request(envoy: Envoy) -> None:
    answers = [envoy.ask("/", headers={"x-key": "slow"}) for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 4 + [429]
    resets = [answer.headers["x-ratelimit-reset"] for answer in answers]
    # While anything is left it says 0, though the bucket is not full.
    assert resets == ["0", "0", "0", "1", "1"]
    # A fourth of the two seconds is one request.
    assert eventually(lambda: envoy.ask("/", headers={"x-key": "slow"}).status == 200, 1.5)
    assert envoy.ask("/", headers={"x-key": "slow"}).status == 429
