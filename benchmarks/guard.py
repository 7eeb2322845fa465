"""Measure what the guard costs a limited caller, and whether it shares out exactly what there is.

`python -m benchmarks.guard [--json]`. Cost: Envoys with the same filters and log are asked in
turns: one without the guard's filter, one where nobody is limited, one where all are. The guard's
own CPU includes settling from the log. Exactness: 200 parallel clients against 10,000 tokens a
minute; Envoy's access log says what was truly used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import cpu_s, free_port, processor
from plinth.gateway import envoy
from plinth.gateway.envoy_types import Json, config, typed
from plinth.gateway.guard.limit import GuardedLimit
from plinth.gateway.guard.limit_file import write_limits
from plinth.gateway.guard.unit import UNIT, command, limits_file
from plinth.gateway.guard_filter import (
    RESERVATION_FIELD,
    guard_cluster,
    guard_filters,
    with_guard,
)
from plinth.kit.files import write_json
from plinth.kit.home import Home

_MANAGER = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")
_AS_UNIT = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
_PER_MINUTE = 10_000
_WINDOW_S = 60.0
# What ended less than this ago may not be settled yet: Envoy writes its log every 0.2 s, the guard
# reads it every 0.1 s.
_SETTLES_S = 1.0
_BODY = b'{"model": "support", "messages": []}'
_BODY_TOKENS = 18
_FIELDS: Json = {
    **dict.fromkeys(("principal", "cluster", "upstream", "method", "path"), "-"),
    "id": "%REQ(X-REQUEST-ID)%",
    "start": "%START_TIME(%s.%6f)%",
    "ms": "%DURATION%",
    "team": "research",
    "key": "k_bench",
    "route": "endpoint:support",
    "code": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "rx": "%BYTES_RECEIVED%",
    "tx": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "asked": "%REQ(x-max-tokens)%",
    "usage": "%RESP(x-usage)%",
    "rid": RESERVATION_FIELD,
}


@dataclass(frozen=True)
class Load:
    """How much is asked: `rounds` of `requests` for the cost, `clients` for `seconds` then."""

    rounds: int = 7
    requests: int = 4000
    connections: int = 8
    clients: int = 200
    seconds: float = 75.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=Load.rounds)
    parser.add_argument("--requests", type=int, default=Load.requests)
    parser.add_argument("--clients", type=int, default=Load.clients)
    parser.add_argument("--seconds", type=float, default=Load.seconds)
    chosen = parser.parse_args(arguments)
    load = Load(
        rounds=chosen.rounds,
        requests=chosen.requests,
        clients=chosen.clients,
        seconds=chosen.seconds,
    )
    result = run(load)
    if chosen.json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:36} {value}" for name, value in result.items()))


def run(load: Load) -> dict[str, Any]:
    """Measure the cost, then the exactness; return the figures."""
    return {
        **_cost(load),
        **_exactness(load),
        "rounds": load.rounds,
        "requests_per_round": load.requests,
        "connections": load.connections,
        "load_average": round(os.getloadavg()[0], 1),
        "machine": f"{os.cpu_count()} x {processor()}, {platform.system()} {platform.release()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


@dataclass
class _Chain:
    """An Envoy and its figures: CPU in microseconds a request, latencies in milliseconds."""

    port: int
    pid: int
    cpu_us: list[float]
    latencies_ms: list[list[float]]


def _cost(load: Load) -> dict[str, Any]:
    with ExitStack() as stack:
        home = stack.enter_context(_home())
        guard = stack.enter_context(_guard(home, 10**12))
        upstream = home.root / "upstream.sock"
        listens = {"pipe": {"path": str(upstream)}}
        stack.enter_context(_envoy(home.root / "u", [_listener(listens, [], _answering())], []))
        chains = {
            name: stack.enter_context(_chain(home, upstream, name))
            for name in ("plain", "unmarked", "guarded")
        }
        _wait_for(upstream)
        guard_us: list[float] = []
        for turn in range(-1, load.rounds):
            # Who goes first changes with each round, so that drift weighs on neither.
            for name in sorted(chains, reverse=bool(turn % 2)):
                before = cpu_s(guard.pid)
                _measure(chains[name], load)
                spent_us = (cpu_s(guard.pid) - before) / load.requests * 1e6
                if name == "guarded":
                    guard_us.append(spent_us)
        for chain in chains.values():
            # The first round warmed up.
            del chain.cpu_us[0], chain.latencies_ms[0]
        return _cost_result(chains, guard_us[1:])


def _measure(chain: _Chain, load: Load) -> None:
    """Ask over several connections for the CPU, over one for the time that a caller waits."""
    before = cpu_s(chain.pid)
    asyncio.run(_ask_many(chain.port, load.requests, load.connections))
    # Envoy writes its log, and the guard settles from it.
    time.sleep(0.5)
    chain.cpu_us.append((cpu_s(chain.pid) - before) / load.requests * 1e6)
    chain.latencies_ms.append(asyncio.run(_ask_many(chain.port, load.requests // 8, 1)))


def _cost_result(chains: dict[str, _Chain], guard_us: list[float]) -> dict[str, Any]:
    plain, guarded = chains["plain"], chains["guarded"]
    found: dict[str, Any] = {
        **_spread("guard_cpu_us", guard_us),
        "envoy_cpu_plain_us_median": round(statistics.median(plain.cpu_us), 1),
    }
    for name in ("unmarked", "guarded"):
        pairs = zip(plain.cpu_us, chains[name].cpu_us, strict=True)
        found |= _spread(f"envoy_cpu_added_{name}_us", [other - own for own, other in pairs])
    for share in (50, 99):
        waits = zip(plain.latencies_ms, guarded.latencies_ms, strict=True)
        added = [_quantile(other, share) - _quantile(own, share) for own, other in waits]
        found |= _spread(f"added_ms_p{share}", added, digits=3)
    return found


def _spread(name: str, values: list[float], digits: int = 1) -> dict[str, float]:
    return {
        f"{name}_median": round(statistics.median(values), digits),
        f"{name}_min": round(min(values), digits),
        f"{name}_max": round(max(values), digits),
    }


def _quantile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


async def _ask_many(port: int, requests: int, connections: int) -> list[float]:
    each = requests // connections
    found = await asyncio.gather(*(_ask_often(port, each) for _ in range(connections)))
    return [latency for part in found for latency in part]


async def _ask_often(port: int, times: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    latencies = []
    for _ in range(times):
        began = time.perf_counter()
        status, _ = await _ask(reader, writer, 64)
        latencies.append((time.perf_counter() - began) * 1e3)
        if status != 200:
            raise RuntimeError(f"the chain answered {status}")
    writer.close()
    await writer.wait_closed()
    return latencies


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_tokens: int
) -> tuple[int, bytes]:
    """Send one request and return its status and body."""
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-max-tokens: %d\r\n"
        b"content-length: %d\r\n\r\n%b" % (max_tokens, len(_BODY), _BODY)
    )
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return int(head[9:12]), await reader.readexactly(int(length))


@dataclass(frozen=True)
class _Refusal:
    """What a client was refused: when, and how many tokens it may have needed."""

    at: float
    need: int


def _exactness(load: Load) -> dict[str, Any]:
    with ExitStack() as stack:
        home = stack.enter_context(_home())
        stack.enter_context(_guard(home, _PER_MINUTE))
        upstream = home.root / "upstream.sock"
        chain = stack.enter_context(_chain(home, upstream, "guarded"))
        refusals = asyncio.run(_compete(chain.port, upstream, load))
        time.sleep(1.0)
        lines = (home.gateway / "access.log").read_bytes().splitlines()
    served = [_Served.of(json.loads(line)) for line in lines]
    return _exactness_result([each for each in served if each is not None], refusals, load)


@dataclass(frozen=True)
class _Served:
    """A request that was served, in seconds since 1970 and tokens."""

    began: float
    ended: float
    need: int
    used: int
    is_reserved: bool

    @classmethod
    def of(cls, line: Json) -> _Served | None:
        """Read a line of the access log; None for a refusal."""
        if line["code"] != 200:
            return None
        began = float(line["start"])
        used = int(json.loads(line["usage"])["total_tokens"])
        ended, need = began + line["ms"] / 1000, int(line["asked"]) + _BODY_TOKENS
        return cls(began, ended, need, used, is_reserved=line["rid"] is not None)


def _exactness_result(
    served: list[_Served], refusals: list[_Refusal], load: Load
) -> dict[str, Any]:
    def used_in(since: float, until: float) -> int:
        return sum(each.used for each in served if since < each.ended <= until)

    def held_at(moment: float) -> int:
        return sum(each.need for each in served if each.began <= moment < each.ended + _SETTLES_S)

    most = max(used_in(each.ended - _WINDOW_S, each.ended) for each in served)
    with_room = sum(
        used_in(each.at - _WINDOW_S - 1 - _SETTLES_S, each.at) + held_at(each.at) + each.need
        <= _PER_MINUTE
        for each in refusals
    )
    return {
        "clients": load.clients,
        "seconds": load.seconds,
        "limit_tokens_per_minute": _PER_MINUTE,
        "most_tokens_in_60_s": most,
        "tokens_over_limit": max(0, most - _PER_MINUTE),
        "served": len(served),
        "refused": len(refusals),
        "refused_with_room": with_room,
        # The guard did not answer in time: a machine that is busy with other things.
        "passed_unasked": sum(not each.is_reserved for each in served),
    }


async def _compete(port: int, upstream: Path, load: Load) -> list[_Refusal]:
    """Let all clients ask until the time is over; return what was refused."""
    server = await asyncio.start_unix_server(_serve, upstream, backlog=512)
    until = time.monotonic() + load.seconds
    refusals: list[_Refusal] = []
    await asyncio.gather(
        *(_client(port, random.Random(number), until, refusals) for number in range(load.clients))
    )
    server.close()
    return refusals


async def _client(port: int, draw: random.Random, until: float, refusals: list[_Refusal]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until:
        want = draw.randint(50, 600)
        status, body = await _ask(reader, writer, want)
        if status == 429:
            refusals.append(_Refusal(time.time(), want + _BODY_TOKENS))
            json.loads(body)
        await asyncio.sleep(draw.uniform(0.2, 1.5))
    writer.close()
    await writer.wait_closed()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a model: work for a while, and say how much of what was wanted was used."""
    draw = random.Random()
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(_BODY))
            wanted = int(head.partition(b"x-max-tokens: ")[2].partition(b"\r\n")[0])
            await asyncio.sleep(draw.uniform(0.05, 1.0))
            usage = json.dumps({"total_tokens": draw.randint(1, wanted + _BODY_TOKENS)}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-usage: %b\r\n\r\n{}" % usage)
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        writer.close()


@contextmanager
def _home() -> Iterator[Home]:
    home = Home(Path(tempfile.mkdtemp(prefix="pl-bench-")))
    home.prepare()
    try:
        yield home
    finally:
        shutil.rmtree(home.root)


@contextmanager
def _guard(home: Home, per_minute: int) -> Iterator[subprocess.Popen[bytes]]:
    limit = GuardedLimit("support/research", per_minute, endpoint="support", team="research")
    write_limits(limits_file(home), [limit], "1")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(home.socket(UNIT)))
    listening.listen(128)
    number = listening.fileno()
    with listening, (home.root / "guard.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _AS_UNIT, str(number), *command(home)],
            pass_fds=(number,),
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + 10
        while b"has started" not in (home.root / "guard.log").read_bytes():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((home.root / "guard.log").read_text())
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _chain(home: Home, upstream: Path, kind: str) -> Iterator[_Chain]:
    """Run an Envoy in front of `upstream`; the log of the `guarded` one is what the guard reads."""
    port = free_port()
    log = typed(
        "log",
        "extensions.access_loggers.file.v3.FileAccessLog",
        path=str(home.gateway / ("access.log" if kind == "guarded" else f"{kind}.log")),
        log_format={"json_format": _FIELDS},
    )
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    route: Json = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    filters, clusters = _marks(is_limited=kind != "unmarked"), [_cluster(upstream)]
    if kind != "plain":
        filters += guard_filters()
        route["typed_per_filter_config"] = with_guard()
        guard = guard_cluster(str(home.socket(UNIT)))
        clusters.append({key: value for key, value in guard.items() if key != "@type"})
    listeners = [_listener(address, filters, route, access_log=[log])]
    with _envoy(home.root / kind, listeners, clusters) as process:
        _wait_for(port)
        yield _Chain(port, process.pid, [], [])


def _marks(*, is_limited: bool) -> list[Json]:
    """Return what stands for Plinth's own filters: they write the metadata of a caller."""
    mark = {"limited": "1"} if is_limited else {}
    fixed = {**mark, "team": "research", "key": "k_bench", "endpoint": "support"}
    fixed["len"] = str(len(_BODY))
    present = {"metadata_namespace": "plinth", "key": "max_tokens", "type": "STRING"}
    rules = [{"header": "x-max-tokens", "on_header_present": present}]
    return [
        typed(
            "marks",
            "extensions.filters.http.set_metadata.v3.Config",
            metadata=[{"metadata_namespace": "plinth", "value": fixed}],
        ),
        typed(
            "wanted",
            "extensions.filters.http.header_to_metadata.v3.Config",
            request_rules=rules,
        ),
    ]


def _listener(address: Json, filters: list[Json], route: Json, **more: Any) -> Json:
    hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
    manager = config(
        _MANAGER,
        stat_prefix="bench",
        http_filters=[*filters, _ROUTER],
        route_config={"virtual_hosts": hosts},
        **more,
    )
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {"name": "bench", "address": address, "filter_chains": [chain]}


def _answering() -> Json:
    usage = {"header": {"key": "x-usage", "value": '{"total_tokens": 40}'}}
    return {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "{}"}},
        "response_headers_to_add": [usage],
    }


def _cluster(upstream: Path) -> Json:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(upstream)}}}}
    return {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


@contextmanager
def _envoy(
    folder: Path, listeners: list[Json], clusters: list[Json]
) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir()
    boot = {"static_resources": {"listeners": listeners, "clusters": clusters}}
    write_json(folder / "bootstrap.json", boot)
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(
            envoy.command(folder / "bootstrap.json", workers=1),
            env=envoy.variables(os.environ),
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: Path | int, *, deadline_s: float = 10.0) -> None:
    end = time.monotonic() + deadline_s
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    target = str(address) if isinstance(address, Path) else ("127.0.0.1", address)
    while True:
        with socket.socket(family) as probe:
            if probe.connect_ex(target) == 0:
                return
        if time.monotonic() > end:
            raise TimeoutError(f"nothing listens at {address}")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
