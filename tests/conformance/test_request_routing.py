"""How Envoy finds one of many endpoints, and how requests are counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.stand import (
    Envoy,
    Json,
    Upstream,
    cluster,
    config,
    eventually,
    listener,
    routes,
    running_envoy,
    to,
    typed,
)

HEADER_INPUT = "type.matcher.v3.HttpRequestHeaderMatchInput"
LIMIT = "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
NOTHING = "extensions.filters.http.header_mutation.v3.HeaderMutation"
WHOLE: Json = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
LOG = {"route": "%ROUTE_NAME%", "code": "%RESPONSE_CODE%", "details": "%RESPONSE_CODE_DETAILS%"}


def _endpoint(name: str) -> Json:
    found = to("up", {"path_separated_prefix": f"/v2/models/{name}"}, name=name)
    refused = {"name": "refused", "match": {"prefix": "/"}, "direct_response": {"status": 403}}
    tried = {"routes": [found, refused]}
    return {"action": typed(name, "config.route.v3.RouteList", **tried)}


def _tree(count: int) -> Json:
    names = ["a", "a-b", *(f"e{number}" for number in range(count))]
    rest = [to("up", {"path": "/other"}, name="other")]
    return {
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "matcher": {
                    "matcher_tree": {
                        "input": typed("path", HEADER_INPUT, header_name=":path"),
                        "prefix_match_map": {
                            "map": {f"/v2/models/{name}": _endpoint(name) for name in names}
                        },
                    },
                    "on_no_match": {
                        "action": typed("rest", "config.route.v3.RouteList", routes=rest)
                    },
                },
            }
        ]
    }


def _hosts(count: int) -> Json:
    hosts = [
        {"name": f"e{number}", "domains": [f"e{number}"], "routes": [to("up", name=f"e{number}")]}
        for number in range(count)
    ]
    rest = {"name": "rest", "domains": ["*"], "routes": [to("up", name="rest")]}
    return {"vhost_header": "x-place", "virtual_hosts": [rest, *hosts]}


def _limits(version: str, size: int) -> bytes:
    descriptors = [
        {
            "entries": [{"key": "limit", "value": "a.0"}, {"key": "team"}],
            "token_bucket": {"max_tokens": size, "tokens_per_fill": size, "fill_interval": "60s"},
        }
    ]
    limit = typed(
        "limits",
        LIMIT,
        stat_prefix="limits",
        token_bucket={"max_tokens": 10**9, "tokens_per_fill": 10**9, "fill_interval": "60s"},
        filter_enabled=WHOLE,
        filter_enforced=WHOLE,
        descriptors=descriptors,
        max_dynamic_descriptors=100,
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        enable_retry_after_header=True,
    )
    return _resource(version, limit)


def _resource(version: str, extension: Json) -> bytes:
    kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
    return json.dumps(
        {"version_info": version, "resources": [{"@type": kind, **extension}]}
    ).encode()


def _limited(folder: Path) -> Json:
    source = {
        "path_config_source": {
            "path": str(folder / "limits.json"),
            "watched_directory": {"path": str(folder)},
        },
        "resource_api_version": "V3",
    }
    types = [config(each)["@type"] for each in (LIMIT, NOTHING)]
    named = {"generic_key": {"descriptor_key": "limit", "descriptor_value": "a.0"}}
    whose = {"request_headers": {"header_name": "x-team", "descriptor_key": "team"}}
    counted = {"rate_limits": [{"actions": [named, whose]}]}
    return listener(
        [{"name": "limits", "config_discovery": {"config_source": source, "type_urls": types}}],
        routes(to("up", {"path": "/counted"}, route=counted), to("up", {"path": "/free"})),
        name="limited",
        log_fields=LOG,
    )


@dataclass
class Stand:
    """The Envoy of this module, and the folder of its limits."""

    envoy: Envoy
    folder: Path

    def write(self, content: bytes) -> None:
        """Replace the limits and wait until Envoy has them."""
        draft = self.folder.with_name("draft.json")
        draft.write_bytes(content)
        draft.replace(self.folder / "limits.json")
        version = json.loads(content)["version_info"]
        assert eventually(lambda: version in self._versions())

    def _versions(self) -> list[Any]:
        return list(self.envoy.stats("http_filter.limits.version_text").values())

    def statuses(self, count: int, team: str, path: str = "/counted") -> list[int]:
        """Ask so often and return the codes."""
        headers = {"x-team": team}
        found = [self.envoy.ask(path, headers=headers, listener="limited") for _ in range(count)]
        return [each.status for each in found]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Start one Envoy with a listener for each way."""
    upstream = Upstream()
    folder = tmp_path_factory.mktemp("configuration") / "limits"
    folder.mkdir()
    (folder / "limits.json").write_bytes(_resource("1", typed("limits", NOTHING)))
    kinds = {"tree": _tree, "hosts": _hosts}
    listeners = [
        listener([], make(count), name=f"{name}-{count}", log_fields=LOG)
        for name, make in kinds.items()
        for count in (10, 1000)
    ]
    found = [*listeners, _limited(folder)]
    with running_envoy(found, [cluster("up", upstream.port)]) as envoy:
        yield Stand(envoy, folder)
    upstream.end()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/a", 200),
        ("/v2/models/a?x=1", 200),
        ("/v2/models/a/infer", 200),
        ("/v2/models/a-b/infer", 200),
        ("/v2/models/a-c/infer", 403),
        ("/v2/models/e", 404),
        ("/other", 200),
        ("/none", 404),
    ],
)
def test_a_tree_over_paths_takes_the_longest_beginning_and_then_the_list_behind_it(
    stand: Stand, path: str, status: int
) -> None:
    assert stand.envoy.ask(path, listener="tree-10").status == status


def test_the_virtual_host_is_found_by_a_header_and_else_the_one_for_all(stand: Stand) -> None:
    for place, name in (("e7", "e7"), ("E7", "e7"), ("nowhere", "rest"), ("*", "rest")):
        before = len(stand.envoy.log(0))
        assert stand.envoy.ask("/", headers={"x-place": place}, listener="hosts-10").status == 200
        assert stand.envoy.log(before + 1)[-1]["route"] == name


@pytest.mark.parametrize("way", ["tree", "hosts"])
def test_a_thousand_endpoints_cost_a_request_no_more_than_ten(stand: Stand, way: str) -> None:
    """Measured in turns, since other processes disturb; the factor leaves room for them."""
    costs: dict[int, list[float]] = {10: [], 1000: []}
    for _ in range(5):
        for count, found in costs.items():
            path = f"/v2/models/e{count - 1}"
            place = {"x-place": f"e{count - 1}"}
            before = stand.envoy.cpu_s
            for _ in range(150):
                stand.envoy.ask(path, headers=place, listener=f"{way}-{count}")
            found.append(stand.envoy.cpu_s - before)
    assert min(costs[1000]) <= 1.5 * min(costs[10]) + 0.02


def test_buckets_come_by_their_own_file_count_for_each_and_are_kept_by_other_changes(
    stand: Stand,
) -> None:
    assert stand.statuses(3, "ops") == [200] * 3
    stand.write(_limits("2", 2))
    assert stand.statuses(3, "ops") == [200, 200, 429]
    assert stand.statuses(1, "sales") == [200]
    assert stand.statuses(1, "ops", "/free") == [200]
    refused = stand.envoy.ask("/counted", headers={"x-team": "ops"}, listener="limited")
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    limited = {"code": 429, "details": "local_rate_limited"}
    assert eventually(lambda: any(limited.items() <= each.items() for each in stand.envoy.log()))
    # The same limits again leave them as they are, other limits fill them.
    stand.write(_limits("3", 2))
    assert stand.statuses(1, "ops") == [429]
    stand.write(_limits("4", 3))
    assert stand.statuses(4, "ops") == [200, 200, 200, 429]
