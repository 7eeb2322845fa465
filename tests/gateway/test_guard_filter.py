from __future__ import annotations

from typing import Any

from plinth.gateway.guard import request
from plinth.gateway.guard_filter import (
    GUARD_CLUSTER,
    RESERVATION_FIELD,
    guard_cluster,
    guard_filters,
)


def _actions() -> list[dict[str, Any]]:
    (only,) = guard_filters()
    (limit,) = only["typed_config"]["rate_limits"]
    return [action["metadata"] for action in limit["actions"]]


def test_only_the_mark_decides_whether_the_guard_is_asked() -> None:
    """Any other value without a default would let a request that lacks it pass."""
    mark, *others = _actions()
    assert mark["descriptor_key"] == request.MARK
    assert "default_value" not in mark
    assert {each["default_value"] for each in others} == {request.MISSING}


def test_the_filter_sends_what_the_guard_reads() -> None:
    sent = [each["descriptor_key"] for each in _actions()]
    assert sent == ["limited", "key", "team", "endpoint", "model", "max_tokens", "n", "len"]
    assert {each["metadata_key"]["key"] for each in _actions()} == {"plinth"}


def test_a_guard_that_is_away_lets_requests_pass_soon() -> None:
    (only,) = guard_filters()
    settings = only["typed_config"]
    assert settings["failure_mode_deny"] is False
    service = settings["rate_limit_service"]["grpc_service"]
    assert service["envoy_grpc"]["cluster_name"] == GUARD_CLUSTER
    assert service["timeout"] == settings["timeout"] == "1s"


def test_the_guard_is_reached_by_http2_on_its_unix_socket() -> None:
    cluster = guard_cluster("/home/run/guard.sock")
    (group,) = cluster["load_assignment"]["endpoints"]
    (endpoint,) = group["lb_endpoints"]
    assert endpoint["endpoint"]["address"] == {"pipe": {"path": "/home/run/guard.sock"}}
    (options,) = cluster["typed_extension_protocol_options"].values()
    assert "http2_protocol_options" in options["explicit_http_config"]


def test_the_log_names_the_reservation_that_the_guard_answered() -> None:
    assert RESERVATION_FIELD == "%DYNAMIC_METADATA(envoy.filters.http.ratelimit:rid)%"
