"""Measure what the gateway costs beside an Envoy that only forwards, and beside LiteLLM's proxy.

`python -m benchmarks.gateway_overhead [--json]`. All stand before the same model server and are
asked in turns within a round, in an order drawn anew, so that a busy machine disturbs all alike.
The cost is the CPU of the gateway's processes, from the clock of each; ratios are taken within a
round. The answers are compared: who leaves something out would be measured for doing less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import litellm_proxy
from benchmarks.caller import ask, connections, unchunked
from benchmarks.chain import Chain, Stand, standing
from benchmarks.machine import environments, facts, free_port, spread
from benchmarks.witness import message
from plinth.domain.serving import Limit, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.kit.errors import PlinthError

_MODEL = "upstream"
_CHAT_PATH = "/v1/chat/completions"
_WARM_UP = 400
# A round is asked in pieces, of all in turns: within a second the machine itself is not the same.
_SLICES = 10
# A round of LiteLLM with as many requests as the others would take a minute.
_PEER_SHARE = 20
# What a caller reads of an answer; the rest is the server's own.
_COMPARED = ("content", "finish_reason", "prompt_tokens", "completion_tokens", "cached_tokens")
_QUESTION = "Say something about foxes and dogs and the hedge between them. " * 3


@dataclass(frozen=True)
class Load:
    """How much is asked: `rounds` of `requests` each, over `connections` at a time.

    `streams`: how many streamed answers are waited for, one after the other. `slow_upstream`: a
    server in Python answers instead of an Envoy; then all gateways have less to do at once.
    """

    rounds: int = 11
    requests: int = 4000
    connections: int = 8
    endpoints: int = 20
    callers: int = 20
    revoked: int = 100
    streams: int = 300
    slow_upstream: bool = False
    seed: int = 1


@dataclass(frozen=True)
class Turn:
    """One way to ask one gateway: `requests` are sent in each round."""

    name: str
    chain: Chain
    request: bytes
    requests: int


@dataclass
class Measured:
    """CPU-seconds for 1,000 requests by turn and round; milliseconds to the first piece by peer."""

    costs: dict[str, list[float]] = field(default_factory=dict)
    first_ms: dict[str, list[float]] = field(default_factory=dict)

    def ratios(self, one: str, other: str) -> list[float]:
        """Return how much more `one` costs than `other`, for each round."""
        pairs = zip(self.costs[one], self.costs[other], strict=True)
        return [mine / theirs for mine, theirs in pairs]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=Load.rounds)
    parser.add_argument("--requests", type=int, default=Load.requests)
    parser.add_argument("--endpoints", type=int, default=Load.endpoints)
    parser.add_argument("--revoked", type=int, default=Load.revoked)
    parser.add_argument("--streams", type=int, default=Load.streams)
    parser.add_argument("--slow-upstream", action="store_true", help="a server in Python answers")
    parser.add_argument("--without-litellm", action="store_true", help="leave the peer out")
    parser.add_argument(
        "--environments",
        type=Path,
        default=environments(),
        help="managed environments to use again; the first time, LiteLLM's is built in it",
    )
    chosen = parser.parse_args(arguments)
    load = Load(
        rounds=chosen.rounds,
        requests=chosen.requests,
        endpoints=chosen.endpoints,
        revoked=chosen.revoked,
        streams=chosen.streams,
        slow_upstream=chosen.slow_upstream,
    )
    result = run(load, None if chosen.without_litellm else chosen.environments)
    if chosen.json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:32} {value}" for name, value in result.items()))


def run(load: Load, environments: Path | None) -> dict[str, Any]:
    """Start the gateways, measure, end them; return the figures.

    `environments`: where LiteLLM is installed; None leaves it out.
    """
    peer, reason = _peer(environments)
    measured = Measured()
    with standing() as stand:
        port = free_port()
        if load.slow_upstream:
            stand.serve({_MODEL: "well"}, port=port)
        else:
            stand.answer(_MODEL, port=port)
        turns = _turns(stand, load, peer, port)
        compared = _compare(turns)
        _measure(load, turns, measured)
    with standing() as stand:
        port = free_port()
        stand.serve({_MODEL: "well"}, port=port)
        _stream(load, _turns(stand, load, peer, port), port, measured)
    skipped = {"litellm_skipped": reason} if reason else {}
    return {**result_of(load, measured), "answers_compared": compared, **skipped}


def gateway(stand: Stand, load: Load) -> Chain:
    """Start our whole chain: limits, usage, grants, revoked keys, the guard asked for nobody."""
    serving = Deployment(id="r_bench", upstreams=(stand.upstream(_MODEL),))
    callers = tuple(sorted(_caller(number) for number in range(load.callers)))
    policy = TrafficPolicy(limits=(Limit(each="team", requests_per_minute=1_000_000_000),))
    whole = EndpointRoute(
        name="model", team="ops", deployments=(serving,), policy=policy, callers=callers
    )
    endpoints = [
        whole.model_copy(update={"name": f"{kind}-{number:04}", "protocol": protocol})
        for number in range(load.endpoints)
        for protocol, kind in (("openai", "chat"), ("open-inference", "model"))
    ]
    state = stand.state(endpoints, revoked=load.revoked)
    return stand.gateway("gateway", state).chain


def endpoint_asked(load: Load) -> str:
    """Return the endpoint of OpenAI's protocol that is asked: in the middle of all."""
    return f"chat-{load.endpoints // 2:04}"


def chat(load: Load) -> dict[str, Any]:
    """Return the body of a chat request."""
    system = {"role": "system", "content": "You are a helpful assistant."}
    messages = [system, {"role": "user", "content": _QUESTION}]
    return {"model": endpoint_asked(load), "messages": messages, "max_tokens": 64}


def result_of(load: Load, measured: Measured) -> dict[str, Any]:
    """Return the figures of what was measured."""
    costs, first = measured.costs, measured.first_ms
    direct = statistics.median(first["direct"])
    added = {name: statistics.median(each) - direct for name, each in first.items()}
    found = {
        **spread("cpu_ratio_path", measured.ratios("gateway path", "bare path")),
        **spread("cpu_ratio_to_bare_envoy", measured.ratios("gateway json", "bare json")),
        "first_chunk_added_ms_median": round(added["gateway"], 3),
        "first_chunk_added_ms_bare": round(added["bare"], 3),
    }
    if "litellm" in costs:
        found |= spread("cpu_times_less_than_litellm", measured.ratios("litellm", "gateway json"))
        found["first_chunk_added_ms_litellm"] = round(added["litellm"], 3)
    medians = {
        f"{name.replace(' ', '_')}_cpu_s_per_1000": round(statistics.median(each), 4)
        for name, each in costs.items()
    }
    settings = {"rounds": load.rounds, "requests_per_round": load.requests}
    more = {"endpoints": 2 * load.endpoints, "revoked_keys": load.revoked, "streams": load.streams}
    upstream = {"upstream": "python" if load.slow_upstream else "envoy"}
    whole = {**settings, "connections": load.connections, **more, **upstream}
    return {**found, **medians, **whole, **facts()}


def _peer(environments: Path | None) -> tuple[Path | None, str | None]:
    if environments is None:
        return None, "left out"
    try:
        return litellm_proxy.install(environments), None
    except PlinthError as err:
        return None, str(err)


def _turns(stand: Stand, load: Load, peer: Path | None, port: int) -> list[Turn]:
    """Start every gateway before the server that is there, and say how it is asked."""
    ours, bare = gateway(stand, load), stand.bare(_MODEL)
    key = stand.key(_caller(load.callers - 1), "k_bench000")
    data = {"name": "x", "shape": [1, 8], "datatype": "FP64", "data": [0.5] * 8}
    # As long a body as the other request's, so that only the way of routing differs.
    body = {"inputs": [data], "parameters": {"note": _QUESTION}}
    by_path = f"/v2/models/model-{load.endpoints // 2:04}/infer"
    requests = {
        "path": message("POST", by_path, key, body),
        "json": message("POST", _CHAT_PATH, key, chat(load)),
    }
    turns = [
        Turn(f"{chain.name} {kind}", chain, request, load.requests)
        for chain in (ours, bare)
        for kind, request in requests.items()
    ]
    if peer is not None:
        proxy = litellm_proxy.start(stand, peer, endpoint_asked(load), port)
        request = message("POST", _CHAT_PATH, litellm_proxy.KEY, chat(load))
        turns.append(Turn("litellm", proxy, request, max(load.requests // _PEER_SHARE, 1)))
    return turns


def _compare(turns: Sequence[Turn]) -> int:
    """Ask each once and compare what the answers say. Raises RuntimeError if they differ."""
    said: dict[bytes, dict[str, Any]] = {}
    for turn in turns:
        found = what_is_said(ask(turn.chain.port, [turn.request], 1).all_answered().json)
        kind = b"path" if turn.name.endswith("path") else b"json"
        if said.setdefault(kind, found) != found:
            raise RuntimeError(f"`{turn.name}` answered {found}, others {said[kind]}")
    return len(turns)


def what_is_said(answer: Any) -> dict[str, Any]:
    """Return what a caller reads of an answer, wherever it stands in it."""
    if isinstance(answer, dict) and "outputs" in answer:
        return {"outputs": answer["outputs"]}
    found: dict[str, Any] = {}
    rest = [answer]
    while rest:
        each = rest.pop()
        if isinstance(each, dict):
            found |= {name: each[name] for name in _COMPARED if name in each}
            rest += each.values()
        elif isinstance(each, list):
            rest += each
    return found


def _measure(load: Load, turns: Sequence[Turn], measured: Measured) -> None:
    chance = random.Random(load.seed)
    for turn in turns:
        ask(turn.chain.port, [turn.request], min(_WARM_UP, turn.requests)).all_answered()
        measured.costs[turn.name] = []
    for number in range(load.rounds):
        spent = dict.fromkeys(measured.costs, 0.0)
        for _ in range(_SLICES):
            for turn in chance.sample(turns, len(turns)):
                before = turn.chain.cpu_s()
                times = max(turn.requests // _SLICES, 1)
                heard = ask(turn.chain.port, [turn.request], times, at_once=load.connections)
                heard.all_answered()
                spent[turn.name] += (turn.chain.cpu_s() - before) / times
        for name, seconds in spent.items():
            measured.costs[name].append(seconds / _SLICES * 1000)
        print(f"round {number + 1} of {load.rounds}", file=sys.stderr)


def _stream(load: Load, turns: Sequence[Turn], port: int, measured: Measured) -> None:
    """Take the time to the first piece of streamed answers, from each in turn."""
    body = {**chat(load), "stream": True, "stream_options": {"include_usage": True}}
    asked = {
        each.chain.name: (each.chain.port, message("POST", _CHAT_PATH, key_in(each.request), body))
        for each in turns
    }
    asked["direct"] = (port, message("POST", _CHAT_PATH, "none", body))
    measured.first_ms |= asyncio.run(_first_pieces(asked, load.streams))


async def _first_pieces(asked: dict[str, tuple[int, bytes]], times: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in asked}
    for number in range(times + 1):
        for name in sorted(asked, reverse=bool(number % 2)):
            port, request = asked[name]
            # A connection for each, so that all pay for the same.
            async with connections(port, 1) as (connection,):
                answer = await connection.exchange(request)
            if answer.status != 200 or b"[DONE]" not in unchunked(answer.body):
                raise RuntimeError(f"`{name}` answered {answer.status}: {answer.body[-300:]!r}")
            if number:
                found[name].append(answer.first_s * 1000)
    return found


def key_in(request: bytes) -> str:
    """Return the key that a request carries."""
    return request.partition(b"Bearer ")[2].partition(b"\r\n")[0].decode()


def _caller(number: int) -> str:
    return f"p_{number:010}"


if __name__ == "__main__":
    main()
