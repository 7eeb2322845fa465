from benchmarks.gateway_overhead import Load, Measured, result_of, what_is_said
from benchmarks.mock_model import WORDS, Asked, answer


def test_ratios_are_taken_within_a_round() -> None:
    measured = Measured(costs={"ours": [0.5, 0.25], "bare": [0.25, 0.25]})

    assert measured.ratios("ours", "bare") == [2.0, 1.0]


def test_what_is_said_is_found_wherever_it_stands() -> None:
    said = what_is_said(answer(Asked("/v1/chat/completions", {}), "blue"))

    assert said["content"] == WORDS
    assert (said["prompt_tokens"], said["cached_tokens"]) == (42, 8)
    # What a server says of itself is no part of it.
    assert said == what_is_said(answer(Asked("/v1/chat/completions", {}), "green"))


def test_the_peer_is_left_out_of_figures_where_it_did_not_run() -> None:
    costs = {
        f"{who} {kind}": [cost, cost]
        for who, cost in (("gateway", 0.2), ("bare", 0.1))
        for kind in ("path", "json")
    }
    first = {"direct": [1.0, 1.0], "bare": [1.2, 1.2], "gateway": [1.5, 1.5]}

    found = result_of(Load(), Measured(costs, first))

    assert found["cpu_ratio_path"] == found["cpu_ratio_to_bare_envoy"] == 2.0
    assert found["first_chunk_added_ms_median"] == 0.5
    assert "cpu_times_less_than_litellm" not in found
