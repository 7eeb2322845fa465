from __future__ import annotations

from dataclasses import replace
from typing import Any

from plinth.domain.serving import Limit, TrafficPolicy
from plinth.domain.traffic import EndpointRoute
from plinth.gateway import openai_filter
from plinth.gateway.model_routes import model_tree
from plinth.gateway.openai_routes import first_routes, openai_hosts
from plinth.gateway.places import endpoint_place, host_place
from tests.gateway.test_snapshot import BUSY, CHAT, DELAY, EMPTY


def filters_of(route: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = route["typed_per_filter_config"]
    return found


def test_only_endpoints_of_the_protocol_have_a_place_for_bodies() -> None:
    (host,) = openai_hosts(BUSY)
    assert host["domains"] == [endpoint_place("chat")]
    rules = host["typed_per_filter_config"]["plinth.openai"]
    assert (rules["filter_name"], rules["filter_config"]["value"]) == (
        "granted",
        "principals p_ann",
    )


def test_only_endpoints_of_the_other_protocol_stand_in_the_tree() -> None:
    paths = {path for path in model_tree(BUSY) if path.startswith("/v2")}
    assert paths == {"/v2/models/", "/v2/models/delay", "/v2/models/price"}


def test_every_list_of_the_tree_ends_with_the_same_refusal() -> None:
    for path, found in model_tree(BUSY).items():
        tried = found["action"]["typed_config"]["routes"]
        assert tried[-1]["direct_response"]["status"] == 403, path
        assert filters_of(tried[-1]) == {}


def test_a_place_that_we_say_is_never_one_that_a_caller_says() -> None:
    assert host_place("endpoint:chat") != endpoint_place("chat")


def test_where_the_body_is_read_everybody_comes_to_the_filter_and_nowhere_else() -> None:
    reading = [route for route in first_routes(BUSY) if route["name"] == "openai"]
    assert len(reading) == 4
    for route in reading:
        assert route["direct_response"]["status"] == 403
        assert filters_of(route)["plinth.gate"]["filter_config"]["value"] == "everybody"
        assert filters_of(route)["plinth.openai"]["filter_name"] == openai_filter.CALLER


def largest(*endpoints: EndpointRoute) -> int:
    routes = first_routes(replace(EMPTY, endpoints=endpoints))
    found: int = next(
        filters_of(route)["plinth.whole"]["buffer"]["max_request_bytes"]
        for route in routes
        if "plinth.whole" in filters_of(route)
    )
    return found


def test_as_much_of_a_body_is_held_as_an_endpoint_takes_and_never_more_than_16_mib() -> None:
    def chat(size: int) -> EndpointRoute:
        return CHAT.model_copy(update={"policy": TrafficPolicy(max_body=size)})

    assert largest() == largest(chat(1000)) == 4 * 2**20
    assert largest(chat(8_000_000)) == 8_000_000
    assert largest(chat(2**30)) == 16 * 2**20
    v2 = DELAY.model_copy(update={"policy": TrafficPolicy(max_body=2**30)})
    assert largest(v2) == 4 * 2**20


def told(**policy: Any) -> dict[str, Any]:
    endpoint = CHAT.model_copy(update={"policy": TrafficPolicy(**policy)})
    (host,) = openai_hosts(replace(EMPTY, endpoints=(endpoint,)))
    metadata = host["routes"][-1].get("metadata", {"filter_metadata": {"plinth.openai": {}}})
    found: dict[str, Any] = metadata["filter_metadata"]["plinth.openai"]
    return found


def test_the_guard_is_asked_only_where_tokens_are_limited() -> None:
    assert "limited" not in told(limits=(Limit(requests_per_minute=5),))
    assert told(limits=(Limit(tokens_per_minute=5),))["limited"] is True


def test_the_filters_of_limits_are_made_only_where_an_endpoint_of_the_protocol_has_some() -> None:
    def made(endpoint: EndpointRoute, **policy: Any) -> set[str]:
        limited = endpoint.model_copy(update={"policy": TrafficPolicy(**policy)})
        plain = CHAT.model_copy(update={"policy": TrafficPolicy(), "name": "plain"})
        both = (plain, limited)
        first, *others = first_routes(replace(EMPTY, endpoints=both, is_guarded=True))
        # Large bodies and Azure's addresses come to routes of their own.
        alike = [each for each in others if each["name"] == first["name"]]
        assert len(alike) == 3
        assert len({made_by(each) for each in (first, *alike)}) == 1
        return set(made_by(first))

    def made_by(route: dict[str, Any]) -> frozenset[str]:
        return frozenset({"plinth.guard", "plinth.requests"} & set(filters_of(route)))

    assert made(CHAT) == set()
    assert made(CHAT, limits=(Limit(requests_per_minute=5),)) == {"plinth.requests"}
    assert made(CHAT, limits=(Limit(tokens_per_minute=5),)) == {"plinth.guard"}
    assert made(DELAY, limits=(Limit(requests_per_minute=5),)) == set()


def test_the_filter_is_made_only_for_requests_whose_route_asks_for_it() -> None:
    assert openai_filter.openai_filter()["disabled"] is True
    (usage,) = openai_filter.usage_filters()
    assert "disabled" not in usage
    assert usage["typed_config"]["filter_name"] == openai_filter.ANSWER


def test_a_model_elsewhere_is_named_as_a_text_of_json() -> None:
    renamed = openai_filter.rename_model('say "é"')
    assert renamed["metadata"]["filter_metadata"]["plinth.openai"] == {"model": r'"say \"é\""'}
    settings = renamed["typed_per_filter_config"]["plinth.openai"]
    assert settings["filter_name"] == openai_filter.RENAME


def test_files_and_batches_go_to_the_control_plane_with_the_callers_key() -> None:
    kept = [route for route in first_routes(BUSY) if route["name"] in ("files", "batches")]
    assert len(kept) == 8
    for route in kept:
        prefix = route["match"]["path_separated_prefix"]
        assert prefix.rpartition("/")[2] == route["name"]
        assert route["route"]["prefix_rewrite"] == f"/api/v1/openai/{route['name']}"
        assert "request_headers_to_remove" not in route
        # A file has more bytes than anybody holds.
        assert "plinth.whole" not in filters_of(route)
        assert "plinth.openai" not in filters_of(route)


def test_what_is_written_is_sent_again_only_when_it_was_not_sent() -> None:
    for route in first_routes(EMPTY):
        if route["name"] in ("files", "batches") and "headers" not in route["match"]:
            policy = route["route"].get("retry_policy", {"retry_on": ""})
            assert "reset," not in f"{policy['retry_on']},".replace("reset-before-request", "")
