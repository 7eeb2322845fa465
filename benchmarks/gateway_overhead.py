"""Measure what the gateway's whole chain costs against an Envoy that only forwards.

`python -m benchmarks.gateway_overhead [--json]`. Both forward to the same upstream (a third Envoy
that answers by itself, on a Unix socket) and are asked in turns, so that a busy machine disturbs
both alike. The cost is Envoy's CPU-seconds for 1,000 requests, from `/proc/<pid>/stat`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.machine import cpu_s, free_port, processor
from plinth.access import keyring, tokens
from plinth.access.tokens import Claims
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway import envoy, snapshot, xds
from plinth.gateway.bootstrap import bootstrap
from plinth.gateway.envoy_types import Json, config, typed
from plinth.kit.files import write_json

_MANAGER = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")
_BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 8], "datatype": "FP64", "data": [0.5] * 8}]}
).encode()
_ANSWER = json.dumps(
    {
        "model_name": "delay",
        "outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [1]}],
    }
)


@dataclass(frozen=True)
class Load:
    """How much is asked: `rounds` of `requests` each, over `connections` at a time."""

    rounds: int = 11
    requests: int = 6000
    connections: int = 8
    endpoints: int = 20
    callers: int = 20
    revoked: int = 100


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=Load.rounds)
    parser.add_argument("--requests", type=int, default=Load.requests)
    parser.add_argument("--endpoints", type=int, default=Load.endpoints)
    parser.add_argument("--revoked", type=int, default=Load.revoked)
    chosen = parser.parse_args(arguments)
    load = Load(
        rounds=chosen.rounds,
        requests=chosen.requests,
        endpoints=chosen.endpoints,
        revoked=chosen.revoked,
    )
    result = run(load)
    if chosen.json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:32} {value}" for name, value in result.items()))


def run(load: Load) -> dict[str, Any]:
    """Start the three Envoys, measure, end them; return the figures."""
    folder = Path(tempfile.mkdtemp(prefix="pl-bench-"))
    started: list[subprocess.Popen[bytes]] = []
    try:
        upstream = folder / "upstream.sock"
        started.append(_start(folder / "upstream", _answering(upstream)))
        _wait_for(upstream)
        bare_port, bare = free_port(), folder / "bare"
        started.append(_start(bare, _forwarding(bare_port, upstream)))
        gateway_port, request = free_port(), b""
        gateway, request = _gateway(folder / "gateway", gateway_port, upstream, load)
        started.append(gateway)
        for port in (bare_port, gateway_port):
            _wait_for(port)
        ratios, costs = _measure(
            load,
            request,
            {"bare": (started[1].pid, bare_port), "gateway": (gateway.pid, gateway_port)},
        )
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()
        shutil.rmtree(folder)
    return _result(load, ratios, costs)


def _measure(
    load: Load, request: bytes, chains: dict[str, tuple[int, int]]
) -> tuple[list[float], dict[str, list[float]]]:
    costs: dict[str, list[float]] = {name: [] for name in chains}
    for name, (_, port) in chains.items():
        asyncio.run(_ask(port, request, load))
        costs[name].clear()
    ratios = []
    for turn in range(load.rounds):
        # Who goes first changes with each round, so that drift weighs on neither.
        names = sorted(chains, reverse=bool(turn % 2))
        spent = {}
        for name in names:
            pid, port = chains[name]
            before = cpu_s(pid)
            asyncio.run(_ask(port, request, load))
            spent[name] = (cpu_s(pid) - before) / load.requests * 1000
            costs[name].append(spent[name])
        ratios.append(spent["gateway"] / spent["bare"])
    return ratios, costs


def _result(load: Load, ratios: list[float], costs: dict[str, list[float]]) -> dict[str, Any]:
    return {
        "cpu_ratio_to_bare_envoy": round(statistics.median(ratios), 3),
        "cpu_ratio_min": round(min(ratios), 3),
        "cpu_ratio_max": round(max(ratios), 3),
        "gateway_cpu_s_per_1000": round(statistics.median(costs["gateway"]), 4),
        "bare_cpu_s_per_1000": round(statistics.median(costs["bare"]), 4),
        "rounds": load.rounds,
        "requests_per_round": load.requests,
        "connections": load.connections,
        "endpoints": load.endpoints,
        "revoked_keys": load.revoked,
        "machine": f"{os.cpu_count()} x {processor()}, {platform.system()} {platform.release()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _gateway(
    folder: Path, port: int, upstream: Path, load: Load
) -> tuple[subprocess.Popen[bytes], bytes]:
    """Start the real chain; return its process and a request that its last endpoint answers."""
    now = datetime.now(UTC)
    ring = keyring.ensure(folder / "secrets", now)
    callers = tuple(sorted(f"p_{number:010}" for number in range(load.callers)))
    serving = Deployment(id="r_bench", upstreams=(Upstream(socket=str(upstream)),))
    names = [f"model-{number:04}" for number in range(load.endpoints)]
    state = snapshot.GatewayState(
        port=port,
        sockets=str(folder),
        folder=str(folder),
        access_log=str(folder / "access.log"),
        jwks=ring.public_jwks(),
        platform="p_platform00",
        endpoints=tuple(
            EndpointRoute(name=name, team="ops", serving=serving, callers=callers) for name in names
        ),
        revoked=tuple(f"k_{number:08}" for number in range(load.revoked)),
    )
    xds.write(snapshot.render(state), folder)
    claims = Claims(callers[-1], "ops", "k_bench000", now + timedelta(hours=1))
    key = tokens.mint(ring, claims)
    boot = bootstrap(node="bench", admin_socket=folder / "admin.sock", folder=folder)
    return _start(folder, boot), _request(f"/v2/models/{names[len(names) // 2]}/infer", key)


def _forwarding(port: int, upstream: Path) -> Json:
    """Return an Envoy that only forwards, with everything else as Envoy has it."""
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(upstream)}}}}]}
            ],
        },
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"static_resources": {"listeners": [_listener(address, route)], "clusters": [cluster]}}


def _answering(path: Path) -> Json:
    """Return an Envoy that answers each request by itself."""
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": _ANSWER}},
    }
    address = {"pipe": {"path": str(path)}}
    return {"static_resources": {"listeners": [_listener(address, route)]}}


def _listener(address: Json, route: Json) -> Json:
    manager = {
        "stat_prefix": "bench",
        "http_filters": [_ROUTER],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    filters = [{"name": "http", "typed_config": config(_MANAGER, **manager)}]
    return {"name": "bench", "address": address, "filter_chains": [{"filters": filters}]}


def _start(folder: Path, boot: Json) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    write_json(folder / "bootstrap.json", boot)
    with (folder / "envoy.log").open("wb") as log:
        command = envoy.command(folder / "bootstrap.json", workers=1)
        return subprocess.Popen(command, stdout=log, stderr=log)


def _request(path: str, key: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        "user-agent: bench",
        f"content-length: {len(_BODY)}",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + _BODY


async def _ask(port: int, request: bytes, load: Load) -> None:
    """Send the requests, each connection one after the other; raise at the first refusal."""
    each = load.requests // load.connections
    await asyncio.gather(*(_one(port, request, each) for _ in range(load.connections)))


async def _one(port: int, request: bytes, times: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the chain answered {head.splitlines()[0]!r}")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    writer.close()
    await writer.wait_closed()


def _wait_for(address: Path | int, *, deadline_s: float = 10.0) -> None:
    end = time.monotonic() + deadline_s
    while True:
        family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
        target = str(address) if isinstance(address, Path) else ("127.0.0.1", address)
        with socket.socket(family) as probe:
            if probe.connect_ex(target) == 0:
                return
        if time.monotonic() > end:
            raise TimeoutError(f"nothing listens at {address}")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
