"""What Envoy does with the mark by which a request is known that comes back."""

from __future__ import annotations

from plinth.gateway.way_back import LOOP_STATUS, marking, refusal
from tests.conformance.stand import running_envoy, typed
from tests.conformance.upstream_stand import chain, cluster, http1, outer, serving, way

MARK = "plinth-abc"
MARKING = http1(
    typed(
        "mark",
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_mutations": [marking(MARK)]},
    )
)


def test_a_request_goes_out_once_and_is_refused_when_it_would_go_out_again() -> None:
    back = {"pipe": {"path": "back.sock"}}
    with serving() as server:
        again = {**chain("again", [refusal("loop", MARK), way("out")]), "address": back}
        front = outer([refusal("loop", MARK), way("round", "/round"), way("out")])
        clusters = [
            cluster("round", back, options=MARKING),
            cluster("out", server.address, options=MARKING),
        ]
        with running_envoy([front, again], clusters) as envoy:
            assert envoy.ask("/out").json["headers"]["cdn-loop"] == MARK
            assert envoy.ask("/round").status == LOOP_STATUS
            others = envoy.ask("/out", headers={"cdn-loop": "cdn.example; v=1"})
            assert others.status == 200
            assert MARK in others.json["headers"]["cdn-loop"]
            passed = envoy.ask("/out", headers={"cdn-loop": f"cdn.example, {MARK}"})
            assert passed.status == LOOP_STATUS
