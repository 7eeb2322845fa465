from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.serving import Capacity, External, Limit, Timeouts, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway import spill
from plinth.gateway.endpoint_routes import Address, endpoint_routes, seconds, usual_retry
from plinth.gateway.limits import limit_actions, limits_filter, with_limits

ADDRESS = Address({"prefix": "/"}, most=5000)


def hosted(name: str) -> Deployment:
    return Deployment(id=f"r_{name}", name=name, upstreams=(Upstream(socket=f"/run/{name}"),))


def elsewhere(name: str) -> Deployment:
    external = External(url="https://models.example.com/v1", protocol="openai")
    return Deployment(id=f"chat.{name}", name=name, external=external)


def endpoint(*deployments: Deployment, **policy: Any) -> EndpointRoute:
    return EndpointRoute(
        name="chat", team="ops", deployments=deployments, policy=TrafficPolicy(**policy)
    )


def routes(*deployments: Deployment, **policy: Any) -> list[dict[str, Any]]:
    return endpoint_routes(endpoint(*deployments, **policy), ADDRESS)


def last(*deployments: Deployment, **policy: Any) -> dict[str, Any]:
    found: dict[str, Any] = routes(*deployments, **policy)[-1]["route"]
    return found


def test_one_deployment_takes_everything() -> None:
    assert last(hosted("main"))["cluster"] == "deployment:r_main"


def test_shares_become_weights_and_what_is_not_ready_has_none() -> None:
    traffic = {"blue": 90, "green": 10}
    both = last(hosted("blue"), hosted("green"), traffic=traffic)["weighted_clusters"]["clusters"]
    assert both == [
        {"name": "deployment:r_blue", "weight": 90},
        {"name": "deployment:r_green", "weight": 10},
    ]
    empty = hosted("green").model_copy(update={"upstreams": ()})
    for found in ((hosted("blue"),), (hosted("blue"), empty)):
        assert last(*found, traffic=traffic)["cluster"] == "deployment:r_blue"


@pytest.mark.parametrize(
    "policy",
    [
        {"failover": ("blue", "green")},
        {"capacity": Capacity(base="blue", burst="green", concurrency=2)},
    ],
)
def test_what_is_tried_one_after_the_other_goes_one_way(policy: dict[str, Any]) -> None:
    found = last(hosted("blue"), elsewhere("green"), **policy)
    assert found["cluster"] == "way:chat"


def test_testers_come_before_everybody() -> None:
    match = {"green": {"x-variant": "green"}, "gone": {"x-variant": "gone"}}
    found = routes(hosted("blue"), hosted("green"), traffic={"blue": 100, "green": 0}, match=match)
    assert [each.get("route", {}).get("cluster") for each in found] == [
        "deployment:r_green",
        "deployment:r_blue",
    ]
    (condition,) = found[0]["match"]["headers"]
    assert condition == {"name": "x-variant", "string_match": {"exact": "green"}}


def test_an_endpoint_that_nothing_serves_says_so() -> None:
    (only,) = routes()
    assert only["direct_response"]["status"] == 503
    assert "no ready deployment" in only["direct_response"]["body"]["inline_string"]


def test_a_body_that_was_held_and_is_more_than_the_endpoint_takes_is_refused_first() -> None:
    first = routes(hosted("main"), max_body=1000)[0]
    (length,) = first["match"]["headers"]
    assert first["direct_response"]["status"] == 413
    assert length["range_match"]["start"] == 1001
    assert len(routes(hosted("main"), max_body=5000)) == 1


def test_what_the_host_says_already_no_route_says_again() -> None:
    address = Address({"prefix": "/"}, inherited=usual_retry())
    (plain,) = endpoint_routes(endpoint(hosted("main")), address)
    assert "retry_policy" not in plain["route"]
    (own,) = endpoint_routes(endpoint(hosted("main"), retries=1), address)
    assert own["route"]["retry_policy"]["num_retries"] == 1


def test_a_copy_goes_to_who_is_tried_out() -> None:
    found = last(hosted("main"), hosted("next"), traffic={"main": 100}, mirror={"next": 12.5})
    (policy,) = found["request_mirror_policies"]
    assert policy["cluster"] == "shadow:r_next"


def test_times_are_those_of_the_file() -> None:
    plain = last(hosted("main"))
    assert (plain["timeout"], plain["idle_timeout"]) == ("60s", "300s")
    short = Timeouts(request=2.5, attempt=0.5, idle=10)
    found = last(hosted("main"), timeouts=short)
    assert (found["timeout"], found["idle_timeout"]) == ("2.5s", "10s")
    assert found["retry_policy"]["per_try_timeout"] == "0.5s"


def test_a_hosted_server_that_restarts_is_waited_for_unless_the_file_says_how_often() -> None:
    assert last(hosted("main"))["retry_policy"]["num_retries"] == 10
    assert last(hosted("main"), retries=0)["retry_policy"]["num_retries"] == 0
    outside = last(elsewhere("main"))["retry_policy"]
    assert outside["num_retries"] == 3
    assert outside["retriable_status_codes"] == list(spill.STATUSES)
    assert "retriable_status_codes" not in last(hosted("main"))["retry_policy"]


@pytest.mark.parametrize(
    ("value", "text"), [(60.0, "60s"), (0.5, "0.5s"), (300.0, "300s"), (1.25, "1.25s")]
)
def test_seconds_are_written_as_envoy_reads_them(value: float, text: str) -> None:
    assert seconds(value) == text


LIMITS = (
    Limit(team="sales", requests_per_minute=2),
    Limit(tokens_per_minute=1000),
    Limit(each="key", requests_per_minute=5),
    Limit(key="k_1", requests_per_minute=7),
    Limit(requests_per_minute=9),
)


def test_each_limit_of_requests_has_a_bucket_and_an_action_that_names_it() -> None:
    limited = endpoint(hosted("main"), limits=LIMITS)
    descriptors = limits_filter([limited])["typed_config"]["descriptors"]
    entries = [
        {each["key"]: each.get("value") for each in found["entries"]} for found in descriptors
    ]
    assert entries == [
        {"limit": "chat.0", "team": "sales"},
        {"limit": "chat.3", "key": "k_1"},
        {"limit": "chat.4"},
        {"limit": "key.5.0", "endpoint": None, "key": None},
    ]
    assert [each["token_bucket"]["max_tokens"] for each in descriptors] == [2, 7, 9, 5]
    actions = [each["actions"] for each in limit_actions(limited)]
    named = [each[0]["generic_key"]["descriptor_value"] for each in actions]
    assert named == ["chat.0", "key.5.0", "chat.3", "chat.4"]
    assert [len(each) for each in actions] == [2, 3, 2, 1]


def test_equal_limits_of_many_endpoints_are_looked_for_once() -> None:
    limits = (Limit(each="team", requests_per_minute=5), Limit(each="team", requests_per_minute=5))
    one = endpoint(hosted("main"), limits=limits)
    other = one.model_copy(update={"name": "other"})
    descriptors = limits_filter([one, other])["typed_config"]["descriptors"]
    names = [each["entries"][0]["value"] for each in descriptors]
    assert names == ["team.5.0", "team.5.1"]
    found = [limit_actions(each)[0]["actions"][1] for each in (one, other)]
    told = [each["generic_key"]["descriptor_value"] for each in found]
    assert told == ["chat", "other"]


def test_without_a_limit_the_filter_does_nothing() -> None:
    found = limits_filter([endpoint(hosted("main"), limits=(Limit(tokens_per_minute=5),))])
    assert "HeaderMutation" in found["typed_config"]["@type"]


def test_who_has_no_limit_is_shown_none() -> None:
    (setting,) = with_limits(endpoint(hosted("main"), limits=LIMITS)).values()
    assert setting["config"] == {}
    assert with_limits(endpoint(hosted("main"), limits=(Limit(tokens_per_minute=5),))) == {}
