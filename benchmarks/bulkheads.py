"""Measure what one sick deployment, or one team at its limit, does to everybody else.

`python -m benchmarks.bulkheads [--json]`. A bystander asks its own endpoint at a steady pace while
a neighbour asks another one at a steady pace too. In turns the neighbour's server is well, hangs,
crashes with each request, refuses everything, or is slow; or the neighbour's team is far over its
limit at the bystander's own endpoint. What counts is the bystander's p99 and errors against those
beside a neighbour that is *well* and asks as much: then the processor has the same to do, and what
differs is what the sickness does. Beside nobody at all is told too: that difference is the
processor's, which all share.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.caller import Heard, Pace
from benchmarks.chain import Chain, Stand, standing
from benchmarks.machine import facts, percentile
from benchmarks.mock_model import Behaviour
from benchmarks.witness import message
from plinth.domain.serving import Limit, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute

_ALONE, _WELL, _LIMITED = "alone", "well", "limited"
_SICK: tuple[Behaviour, ...] = ("hang", "crash", "refuse", "slow")
_SCENES = (_ALONE, _WELL, *_SICK, _LIMITED)
_TEAM, _OTHER = "ops", "others"
_BYSTANDER, _CALLER = "bystander", "p_0000000001"
_MS = 1000


@dataclass(frozen=True)
class Load:
    """How much is asked: requests a second of both, seconds of each scene in each round.

    `limit`: what the limited team may ask in a minute, a small part of what it does ask.
    """

    rounds: int = 7
    seconds: float = 6.0
    bystander_per_s: float = 100.0
    neighbour_per_s: float = 100.0
    limit: int = 60
    seed: int = 1


@dataclass
class Seen:
    """What the bystander saw in one scene: milliseconds and failures by round."""

    p99_ms: list[float] = field(default_factory=list)
    median_ms: list[float] = field(default_factory=list)
    asked: int = 0
    failed: int = 0
    # What became of the neighbour's requests, so that one sees that it was sick.
    neighbour: dict[int, int] = field(default_factory=dict)

    def add(self, bystander: Heard, neighbour: Heard | None) -> None:
        """Take one round in."""
        took = [each * _MS for each in bystander.took_s]
        self.p99_ms.append(percentile(took, 0.99))
        self.median_ms.append(statistics.median(took))
        self.asked += bystander.statuses.total()
        self.failed += bystander.failed
        for status, count in (neighbour.statuses if neighbour else {}).items():
            self.neighbour[status] = self.neighbour.get(status, 0) + count


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=Load.rounds)
    parser.add_argument("--seconds", type=float, default=Load.seconds)
    parser.add_argument("--bystander-per-s", type=float, default=Load.bystander_per_s)
    parser.add_argument("--neighbour-per-s", type=float, default=Load.neighbour_per_s)
    chosen = vars(parser.parse_args(arguments))
    as_json = chosen.pop("json")
    result = run(Load(**chosen))
    if as_json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:32} {value}" for name, value in result.items()))


def run(load: Load) -> dict[str, Any]:
    """Start one gateway before all these servers, measure, end them; return the figures."""
    seen = {scene: Seen() for scene in _SCENES}
    chance = random.Random(load.seed)
    with standing() as stand:
        # Each in a process of its own: what is sick must not be so by what it shares.
        stand.serve({_BYSTANDER: "well"})
        stand.serve({_WELL: "well", **{each: each for each in _SICK}})
        chain = stand.gateway("gateway", stand.state(endpoints_of(stand, load))).chain
        for number in range(load.rounds + 1):
            for scene in chance.sample(_SCENES, len(_SCENES)):
                heard = asyncio.run(_scene(stand, load, chain, scene))
                # The first round opens connections and fills caches.
                if number:
                    seen[scene].add(*heard)
            print(f"round {number} of {load.rounds}", file=sys.stderr)
    return result_of(load, seen)


def endpoints_of(stand: Stand, load: Load) -> list[EndpointRoute]:
    """Return the bystander's endpoint, whose other team is limited, and the neighbours' ones."""
    limit = Limit(team=_OTHER, requests_per_minute=load.limit)
    return [
        EndpointRoute(
            name=name,
            team=_TEAM,
            protocol="openai",
            deployments=(Deployment(id=f"r_{name}", upstreams=(stand.upstream(name),)),),
            policy=TrafficPolicy(limits=(limit,) if name == _BYSTANDER else (), retries=0),
            callers=(_CALLER,),
        )
        for name in (_BYSTANDER, _WELL, *_SICK)
    ]


def result_of(load: Load, seen: dict[str, Seen]) -> dict[str, Any]:
    """Return the figures: the bystander's p99 and errors in each scene against the healthy one."""
    found: dict[str, Any] = {}
    sick = [scene for scene in seen if scene not in (_ALONE, _WELL)]
    for scene in sick:
        found[f"p99_ratio_{scene}"] = round(ratio(seen[scene].p99_ms, seen[_WELL].p99_ms), 3)
    worst = max(found.values())
    well_to_alone = ratio(seen[_WELL].p99_ms, seen[_ALONE].p99_ms)
    per_scene = {
        f"{scene}_{name}": value
        for scene, each in seen.items()
        for name, value in (
            ("p99_ms", round(statistics.median(each.p99_ms), 2)),
            ("p99_ms_min", round(min(each.p99_ms), 2)),
            ("p99_ms_max", round(max(each.p99_ms), 2)),
            ("median_ms", round(statistics.median(each.median_ms), 2)),
            ("failed", each.failed),
            ("asked", each.asked),
            (
                "neighbour_answers",
                {str(key): each.neighbour[key] for key in sorted(each.neighbour)},
            ),
        )
    }
    return {
        "p99_ratio_worst": worst,
        "failed_of_bystander": sum(seen[scene].failed for scene in sick),
        **found,
        "p99_ratio_well_to_alone": round(well_to_alone, 3),
        **per_scene,
        **asdict(load),
        **facts(),
    }


def ratio(with_it: Sequence[float], without: Sequence[float]) -> float:
    """Return the ratio of the medians over the rounds.

    Not the median of each round's ratio: a p99 is made by what happened in one moment of a round.
    """
    return statistics.median(with_it) / statistics.median(without)


async def _scene(stand: Stand, load: Load, chain: Chain, scene: str) -> tuple[Heard, Heard | None]:
    """Have both ask for a while; return what the bystander and its neighbour heard."""
    key = stand.key(_CALLER, "u_bystander")
    bystander = Pace(chain.port, load.bystander_per_s)
    asking = asyncio.ensure_future(bystander.run(_chat(_BYSTANDER, key), load.seconds))
    if scene == _ALONE:
        return await asking, None
    neighbour = Pace(chain.port, load.neighbour_per_s)
    if scene == _LIMITED:
        requests = _chat(_BYSTANDER, stand.key(_CALLER, "u_neighbour", team=_OTHER))
    else:
        requests = _chat(scene, stand.key(_CALLER, "u_neighbour"))
    disturbing = asyncio.ensure_future(neighbour.run(requests, load.seconds))
    return await asking, await disturbing


def _chat(endpoint: str, key: str) -> itertools.repeat[bytes]:
    body = {
        "model": endpoint,
        "messages": [{"role": "user", "content": "Say something about foxes and dogs."}],
        "max_tokens": 64,
    }
    return itertools.repeat(message("POST", "/v1/chat/completions", key, body))


if __name__ == "__main__":
    main()
