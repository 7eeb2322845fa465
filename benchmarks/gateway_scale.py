"""Measure the gateway with many endpoints, many servers behind it and many live keys.

`python -m benchmarks.gateway_scale [--json]`. A small and a large gateway stand before the same
servers; every endpoint of each is asked in turn, with every key in turn, so that nothing stays warm
that would not in use. Then one endpoint after the other gets another server, and what is measured
is the time from its new state being known until a request sees it: rendered, written, taken by
Envoy. A live key costs the gateway nothing until it is used; a revoked one is listed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Literal

from benchmarks.caller import ask_all, connections
from benchmarks.chain import Gateway, Stand, standing
from benchmarks.machine import facts, percentile, spread
from benchmarks.witness import message
from plinth.domain.serving import Limit, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.snapshot import GatewayState
from plinth.kit.errors import PlinthError

_MIB = 2**20
_SIZES = ("large", "small")
# How an endpoint is found: in the body, or by the path.
_KINDS: dict[str, Literal["openai", "open-inference"]] = {
    "json": "openai",
    "path": "open-inference",
}
_TEAMS = 50
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
# The servers are sockets of so many processes.
_PROCESSES = 5
_QUESTION = "Say something about foxes and dogs and the hedge between them. " * 3


@dataclass(frozen=True)
class Load:
    """How large the large gateway is, and how much is asked of both."""

    endpoints: int = 1000
    few_endpoints: int = 10
    upstreams: int = 500
    keys: int = 50_000
    few_keys: int = 10
    revoked: int = 1000
    callers: int = 20
    rounds: int = 9
    requests: int = 4000
    connections: int = 8
    changes: int = 60
    seed: int = 1


@dataclass(frozen=True)
class Side:
    """One gateway, and who asks it for what: `keys` in turn, for each of `endpoints` in turn."""

    gateway: Gateway
    keys: Sequence[str]
    endpoints: int

    def requests(self, kind: str) -> Iterator[bytes]:
        """Yield requests of one kind without end."""
        wanted = _KINDS[kind]
        return requests_of(
            self.keys, [each for each in range(self.endpoints) if protocol_of(each) == wanted]
        )


@dataclass
class Costs:
    """CPU-seconds for 1,000 requests: by size and round, and while every key is new."""

    of: dict[str, list[float]]
    new_keys: float = 0.0

    @property
    def ratios(self) -> list[float]:
        """How much more the large one costs, for each round."""
        return [more / less for more, less in zip(self.of["large"], self.of["small"], strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    for name in ("endpoints", "upstreams", "keys", "revoked", "rounds", "requests", "changes"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Load, name))
    chosen = vars(parser.parse_args(arguments))
    as_json = chosen.pop("json")
    result = run(Load(**chosen))
    if as_json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:32} {value}" for name, value in result.items()))


def run(load: Load) -> dict[str, Any]:
    """Start both gateways, measure, end them; return the figures."""
    with standing() as stand:
        servers = [f"server-{number:04}" for number in range(load.upstreams + 1)]
        for first in range(_PROCESSES):
            # Mixed, so that the few servers of the small gateway are in as many processes.
            stand.serve(dict.fromkeys(servers[first::_PROCESSES], "well"))
        began = time.monotonic()
        large = stand.gateway("large", state_of(stand, load, load.endpoints))
        start_s = time.monotonic() - began
        few = replace(load, revoked=0)
        small = stand.gateway("small", state_of(stand, few, load.few_endpoints))
        memory = [small.chain.memory_bytes(), large.chain.memory_bytes()]
        sides = _sides(stand, load, large, small)
        costs = {kind: _measure(load, sides, kind) for kind in _KINDS}
        memory.append(large.chain.memory_bytes())
        changes = _change(stand, load, large)
        memory.append(large.chain.memory_bytes())
    places = ("small", "at_start", "after_keys", "after_changes")
    return {
        **_of_changes(changes),
        **_of_costs(costs),
        **{
            f"memory_mib_{place}": round(each / _MIB)
            for place, each in zip(places, memory, strict=True)
        },
        "start_s": round(start_s, 2),
        **asdict(load),
        **facts(),
    }


def _of_changes(took_ms: Sequence[float]) -> dict[str, float]:
    return {
        "change_effective_ms_p95": round(percentile(took_ms, 0.95), 1),
        "change_effective_ms_median": round(statistics.median(took_ms), 1),
        "change_effective_ms_max": round(max(took_ms), 1),
    }


def _of_costs(costs: dict[str, Costs]) -> dict[str, float]:
    """Return how the cost grows, for all requests and for each way to ask."""
    found = spread("cpu_growth_ratio", [each for cost in costs.values() for each in cost.ratios])
    for kind, cost in costs.items():
        found[f"cpu_growth_ratio_{kind}"] = round(statistics.median(cost.ratios), 3)
        for size in _SIZES:
            median = statistics.median(cost.of[size])
            found[f"{size}_{kind}_cpu_s_per_1000"] = round(median, 4)
        found[f"new_keys_{kind}_cpu_s_per_1000"] = round(cost.new_keys, 4)
    return found


def state_of(stand: Stand, load: Load, count: int) -> GatewayState:
    """Return the state of a gateway with so many endpoints: every other one speaks OpenAI's."""
    endpoints = [endpoint_of(stand, load, number) for number in range(count)]
    return stand.state(endpoints, revoked=load.revoked)


def endpoint_of(stand: Stand, load: Load, number: int) -> EndpointRoute:
    """Return one endpoint; some split their traffic, all are limited and granted to many."""
    servers = (number % load.upstreams, (number + 1) % load.upstreams)
    names = ("blue", "green")
    deployments = tuple(
        Deployment(
            id=f"r_{name}{number:06}", name=name, upstreams=(stand.upstream(f"server-{server:04}"),)
        )
        for name, server in zip(names, servers, strict=True)
    )
    is_split = number % 5 == 4
    limit = Limit(each="team", requests_per_minute=1_000_000_000)
    policy = TrafficPolicy(limits=(limit,), traffic={"blue": 90, "green": 10} if is_split else {})
    return EndpointRoute(
        name=name_of(number),
        team=team_of(number),
        protocol=protocol_of(number),
        deployments=deployments if is_split else deployments[:1],
        policy=policy,
        callers=tuple(caller_of(each) for each in range(load.callers)),
    )


def name_of(number: int) -> str:
    """Return the name of an endpoint."""
    return f"model-{number:04}"


def team_of(number: int) -> str:
    """Return the team of an endpoint or a key."""
    return f"team-{number % _TEAMS:02}"


@cache
def caller_of(number: int) -> str:
    """Return a principal, called as the product calls them: nothing in common with another."""
    chance = random.Random(number)
    return "p_" + "".join(chance.choice(_ALPHABET) for _ in range(10))


def protocol_of(number: int) -> Literal["openai", "open-inference"]:
    """Return what an endpoint speaks."""
    return "openai" if number % 2 else "open-inference"


def request_of(number: int, key: str) -> bytes:
    """Return a request to an endpoint, in what it speaks."""
    if protocol_of(number) == "open-inference":
        data = {"name": "x", "shape": [1, 8], "datatype": "FP64", "data": [0.5] * 8}
        body: dict[str, Any] = {"inputs": [data], "parameters": {"note": _QUESTION}}
        return message("POST", f"/v2/models/{name_of(number)}/infer", key, body)
    messages = [{"role": "user", "content": _QUESTION}]
    body = {"model": name_of(number), "messages": messages, "max_tokens": 64}
    return message("POST", "/v1/chat/completions", key, body)


def requests_of(keys: Sequence[str], numbers: Sequence[int]) -> Iterator[bytes]:
    """Yield requests without end: each with the next key, to the next endpoint."""
    for key, number in zip(itertools.cycle(keys), itertools.cycle(numbers), strict=False):
        yield request_of(number, key)


def _sides(stand: Stand, load: Load, large: Gateway, small: Gateway) -> dict[str, Side]:
    """Sign every key; return what is asked of both."""
    keys = [
        stand.key(caller_of(number % load.callers), f"u_{number:08}", team=team_of(number))
        for number in range(load.keys)
    ]
    few = keys[: load.few_keys]
    return {
        "large": Side(large, keys, load.endpoints),
        "small": Side(small, few, load.few_endpoints),
    }


def _measure(load: Load, sides: dict[str, Side], kind: str) -> Costs:
    chance = random.Random(load.seed)
    costs = Costs({size: [] for size in _SIZES})
    asked = {size: side.requests(kind) for size, side in sides.items()}
    # Every key once: what a key costs when it is new is no part of the rounds.
    large = sides["large"]
    costs.new_keys = _ask(load, large, asked["large"], len(large.keys))
    for number in range(load.rounds):
        for size in chance.sample(_SIZES, len(_SIZES)):
            # Envoy closes what was idle for 3 s, which here is the turn of the other one.
            _ask(load, sides[size], asked[size], load.endpoints)
            costs.of[size].append(_ask(load, sides[size], asked[size], load.requests))
        print(f"{kind}: round {number + 1} of {load.rounds}", file=sys.stderr)
    return costs


def _ask(load: Load, side: Side, requests: Iterator[bytes], times: int) -> float:
    """Return the CPU-seconds for 1,000 requests."""
    chain = side.gateway.chain
    before = chain.cpu_s()

    async def asking() -> None:
        async with connections(chain.port, load.connections) as opened:
            (await ask_all(opened, requests, times)).all_answered()

    asyncio.run(asking())
    return (chain.cpu_s() - before) / times * 1000


def _change(stand: Stand, load: Load, gateway: Gateway) -> list[float]:
    """Give one endpoint after the other the spare server; return the milliseconds each took."""
    chance = random.Random(load.seed)
    key = stand.key(caller_of(0), "u_changes0", team=team_of(0))
    spare = f"server-{load.upstreams:04}"
    found = []
    for number in chance.sample(range(load.endpoints), load.changes):
        endpoints = list(gateway.state.endpoints)
        # Another run serves it, as when somebody deploys a new version.
        served = Deployment(id=f"r_next{number:06}", upstreams=(stand.upstream(spare),))
        whole = endpoints[number].policy.model_copy(update={"traffic": {}})
        endpoints[number] = endpoints[number].model_copy(
            update={"deployments": (served,), "policy": whole}
        )
        began = time.perf_counter()
        failed: list[BaseException] = []
        applying = threading.Thread(
            target=_apply, args=(gateway, tuple(endpoints), failed), daemon=True
        )
        applying.start()
        asked = (gateway.chain.port, request_of(number, key))
        seen = asyncio.run(_until_seen(*asked, spare, failed))
        applying.join()
        if failed:
            raise failed[0]
        found.append((seen - began) * 1000)
    return found


def _apply(
    gateway: Gateway, endpoints: tuple[EndpointRoute, ...], failed: list[BaseException]
) -> None:
    try:
        gateway.apply(replace(gateway.state, endpoints=endpoints))
    except (PlinthError, OSError) as err:
        failed.append(err)


async def _until_seen(port: int, request: bytes, server: str, failed: list[BaseException]) -> float:
    """Ask every other millisecond; return when an answer came from this server."""
    async with connections(port, 1) as (connection,):
        while not failed:
            answer = await connection.exchange(request)
            if answer.status != 200:
                raise RuntimeError(f"a change broke a request: {answer.status} {answer.body!r}")
            if server in (answer.json.get("system_fingerprint"), answer.json["id"]):
                return time.perf_counter()
            await asyncio.sleep(0.002)
    raise failed[0]


if __name__ == "__main__":
    main()
