"""Who is asked next: composite clusters, inner listeners, valves, and what is never tried again."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.conformance.stand import Answer, Envoy, Json, config, eventually, running_envoy, typed
from tests.conformance.upstream_stand import (
    INTERNAL,
    SPILL,
    UNLIMITED,
    Request,
    cluster,
    composite,
    hang,
    http1,
    inner,
    outer,
    records,
    refusal,
    says,
    serving,
    to_inner,
    way,
)

_LIMIT = "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_ALWAYS = {"default_value": {"numerator": 100}}


def tries(count: int) -> Json:
    return {"retry_policy": {**SPILL, "num_retries": count - 1}}


def at_once(count: int) -> Json:
    (threshold,) = UNLIMITED["circuit_breakers"]["thresholds"]
    return {"circuit_breakers": {"thresholds": [{**threshold, "max_requests": count}]}}


def named(cluster_: Json, hostname: str) -> Json:
    for place in cluster_["load_assignment"]["endpoints"]:
        for server in place["lb_endpoints"]:
            server["endpoint"]["hostname"] = hostname
    return cluster_


def bucket(requests: int) -> Json:
    return {
        "stat_prefix": "rate",
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
        "token_bucket": {
            "max_tokens": requests,
            "tokens_per_fill": requests,
            "fill_interval": "60s",
        },
    }


def lines(envoy: Envoy, count: int) -> list[Json]:
    assert eventually(lambda: len(records(envoy.root)) >= count)
    return records(envoy.root)


async def slowly(request: Request) -> None:
    await asyncio.sleep(0.4)
    await request.reply(headers={"x-name": "a"})


def test_members_are_asked_in_turn_and_the_log_tells_who_served() -> None:
    with serving(says("a", 429)) as one, serving(says("b")) as two:
        clusters = [cluster("a", one.address), cluster("b", two.address), composite("w", "a", "b")]
        with running_envoy([outer([way("w", **tries(2))])], clusters) as envoy:
            assert envoy.ask("/").headers["x-name"] == "b"
            two.stop()
            assert envoy.ask("/").status == 503
            first, last = lines(envoy, 2)
            assert (first["cluster"], first["by"], first["attempts"]) == ("w", "b", 2)
            assert (last["by"], last["flags"]) == ("b", "URX,UF")


def test_an_attempt_for_which_there_is_no_member_fails() -> None:
    with serving(says("a", 429)) as one:
        clusters = [cluster("a", one.address), composite("w", "a", "a")]
        front = outer([way("w", "/two", **tries(2)), way("w", "/three", **tries(3))])
        with running_envoy([front], clusters) as envoy:
            assert envoy.ask("/two").status == 429
            assert envoy.ask("/three").status == 503
            assert lines(envoy, 2)[1]["details"] == "no_healthy_upstream"


def test_what_a_full_cluster_refuses_is_not_tried_again_but_what_a_valve_refuses_is() -> None:
    with serving(slowly) as one, serving(says("b")) as two:
        clusters = [
            cluster("a", one.address, **at_once(2)),
            cluster("b", two.address),
            to_inner("valve", "valve"),
            composite("bare", "a", "b"),
            composite("bounded", "valve", "b"),
        ]
        front = outer([way("bare", "/bare", **tries(2)), way("bounded", "/bounded", **tries(2))])
        listeners = [front, inner("valve", [way("a")])]

        with running_envoy(listeners, clusters, **INTERNAL) as envoy:

            def ask_all(path: str) -> list[Answer]:
                with ThreadPoolExecutor(8) as pool:
                    return list(pool.map(lambda _: envoy.ask(path), range(8)))

            assert Counter(each.status for each in ask_all("/bare")) == {200: 2, 503: 6}
            found = Counter(each.headers["x-name"] for each in ask_all("/bounded"))
            assert found == {"a": 2, "b": 6}


def test_each_attempt_finds_its_inner_host_by_the_name_of_its_server() -> None:
    with serving(says("a", 503)) as one, serving(says("b")) as two:
        listener = inner("inner", [])
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"]["virtual_hosts"] = [
            {"name": each, "domains": [each], "routes": [way(each[-1])]}
            for each in ("valve.to.r_a", "chat.b")
        ]
        clusters = [
            cluster("a", one.address),
            cluster("b", two.address),
            named(to_inner("first", "inner"), "valve.to.r_a"),
            named(to_inner("second", "inner"), "chat.b"),
            composite("w", "first", "second"),
        ]
        front = outer([way("w", auto_host_rewrite=True, **tries(2))])
        with running_envoy([front, listener], clusters, **INTERNAL) as envoy:
            assert envoy.ask("/").headers["x-name"] == "b"
            (line,) = lines(envoy, 1)
            assert (line["by"], line["host"]) == ("second", "envoy://inner/")
            assert eventually(lambda: len(records(envoy.root, "inner")) == 2)
            inside = records(envoy.root, "inner")
            assert [each["by"] for each in inside] == ["a", "b"]
            assert {each["id"] for each in inside} == {line["id"]}


def test_a_route_of_a_valve_has_a_rate_of_its_own() -> None:
    limited = way("a")
    limited["typed_per_filter_config"] = {"rate": config(_LIMIT, **bucket(3))}
    with serving(says("a")) as one:
        valve = inner("valve", [limited], filters=(typed("rate", _LIMIT, stat_prefix="rate"),))
        clusters = [cluster("a", one.address), to_inner("valve", "valve")]
        with running_envoy([outer([way("valve")]), valve], clusters, **INTERNAL) as envoy:
            assert [envoy.ask("/").status for _ in range(5)] == [200] * 3 + [429] * 2


def test_a_full_cluster_before_an_inner_listener_keeps_what_it_refuses_from_the_rate_there() -> (
    None
):
    """Both of Envoy's workers count the same, and what was broken off is counted no longer."""
    limited = way("a")
    limited["typed_per_filter_config"] = {"rate": config(_LIMIT, **bucket(8))}
    with serving(slowly) as one, serving(says("b")) as two:
        clusters = [
            cluster("a", one.address),
            cluster("b", two.address),
            to_inner("rate", "rate", **at_once(2)),
            to_inner("valve", "valve"),
            composite("w", "valve", "b"),
        ]
        listeners = [
            outer([way("w", **tries(2))]),
            inner("valve", [way("rate")]),
            inner("rate", [limited], filters=(typed("rate", _LIMIT, stat_prefix="rate"),)),
        ]
        with running_envoy(listeners, clusters, workers=2, **INTERNAL) as envoy:
            with ThreadPoolExecutor(12) as pool:
                found = list(pool.map(lambda _: envoy.ask("/"), range(12)))
            assert Counter(each.headers["x-name"] for each in found) == {"a": 2, "b": 10}
            one.behaviour = hang
            for count in (3, 4):
                with envoy.connect() as leaving:
                    leaving.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                    assert eventually(lambda count=count: len(one.seen) == count)  # type: ignore[misc]
            one.behaviour = says("a")
            assert eventually(lambda: envoy.ask("/").headers["x-name"] == "a")
            found = [envoy.ask("/") for _ in range(5)]
            assert [each.headers["x-name"] for each in found] == ["a"] * 3 + ["b"] * 2


def test_an_answer_that_says_so_is_not_sent_again_and_the_caller_does_not_see_why() -> None:
    first = says("a", 429, x_envoy_ratelimited="true", retry_after="3")
    with serving(first) as one, serving(says("b")) as two:
        clusters = [cluster("a", one.address), cluster("b", two.address), composite("w", "a", "b")]
        route = {**way("w", **tries(2)), "response_headers_to_remove": ["x-envoy-ratelimited"]}
        with running_envoy([outer([route])], clusters) as envoy:
            answer = envoy.ask("/")
            assert (answer.status, answer.headers["x-name"]) == (429, "a")
            assert answer.headers["retry-after"] == "3"
            assert "x-envoy-ratelimited" not in answer.headers
            assert two.seen == []


def test_limits_and_taps_are_no_filters_of_clusters() -> None:
    for each in (
        typed("one", _LIMIT, stat_prefix="a"),
        typed("one", "extensions.filters.http.tap.v3.Tap", common_config={"admin_config": {}}),
    ):
        complaint = refusal([], [cluster("a", options=http1(each))])
        assert complaint is not None
        assert "Didn't find a registered implementation" in complaint


SCRIPT = """
local seen = {}
function envoy_on_request(handle)
  local name = handle:filterContext():get("name")
  seen[name] = (seen[name] or 0) + 1
  handle:headers():add("x-seen", name .. seen[name])
end
function envoy_on_response(handle)
  local headers = handle:headers()
  headers:replace("x-local", headers:get("x-unserved") and "yes" or "no")
end
"""


def test_a_script_is_told_by_its_route_remembers_and_sees_envoys_own_answers() -> None:
    lua = typed(
        "script",
        "extensions.filters.http.lua.v3.Lua",
        source_codes={"part": {"inline_string": SCRIPT}},
    )

    def told(cluster_name: str, prefix: str) -> Json:
        context = {"name": cluster_name}
        kind = "extensions.filters.http.lua.v3.LuaPerRoute"
        settings = {"script": config(kind, name="part", filter_context=context)}
        return {**way(cluster_name, prefix), "typed_per_filter_config": settings}

    comparison = {"op": "GE", "value": {"default_value": 0, "runtime_key": "unused"}}
    mark = {"header": {"key": "x-unserved", "value": "%RESPONSE_CODE_DETAILS%"}}
    mapper = {
        "filter": {"status_code_filter": {"comparison": comparison}},
        "headers_to_add": [mark],
    }
    with serving() as one, serving() as dead:
        dead.stop()
        clusters = [cluster("a", one.address), cluster("dead", dead.address)]
        routes = [told("a", "/a"), told("dead", "/dead"), way("a")]
        front = outer(routes, filters=(lua,), local_reply_config={"mappers": [mapper]})
        with running_envoy([front], clusters) as envoy:
            found = [envoy.ask("/a") for _ in range(2)]
            assert [each.json["headers"]["x-seen"] for each in found] == ["a1", "a2"]
            assert found[0].headers["x-local"] == "no"
            answer = envoy.ask("/dead")
            assert (answer.status, answer.headers["x-local"]) == (503, "yes")
            assert "x-seen" not in envoy.ask("/other").json["headers"]
