from itertools import islice

from benchmarks.gateway_scale import Costs, name_of, protocol_of, requests_of


def test_each_request_has_the_next_key_and_the_next_endpoint() -> None:
    requests = list(islice(requests_of(["one", "two"], [1, 3, 5]), 6))

    asked = [(b"Bearer one" in each, name_of(1).encode() in each) for each in requests]
    assert asked == [
        (True, True),
        (False, False),
        (True, False),
        (False, True),
        (True, False),
        (False, False),
    ]


def test_half_of_the_endpoints_are_found_in_the_body() -> None:
    protocols = [protocol_of(number) for number in range(4)]

    assert protocols == ["open-inference", "openai"] * 2


def test_the_cost_grows_by_what_the_large_gateway_takes_more() -> None:
    assert Costs({"large": [0.5, 0.25], "small": [0.25, 0.25]}).ratios == [2.0, 1.0]
