"""A workload and platforms to a Plan. Pure: the same inputs give the same bytes.

The command line calls it without a server, the control service before each start. It reads no
clock, no file and no environment, and it changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from plinth.domain.need import needs_of
from plinth.domain.plan import Candidate, Outcome, Plan
from plinth.domain.platform import Platform
from plinth.domain.workload import Workload
from plinth.kit.ids import digest_of
from plinth.planning.context import Context, Placement
from plinth.planning.rules import RULES_OF
from plinth.planning.score import cost_per_hour, score


def plan(workload: Workload, platforms: Iterable[Platform], context: Context) -> Plan:
    """Judge every offer of every platform by every rule and choose the best feasible one.

    `chosen` is None when none is feasible. `rejected` are all others: the feasible by score, then
    those that fewest rules reject. The order in which platforms are given does not matter.
    """
    ordered = sorted(platforms, key=lambda platform: platform.name)
    candidates = [
        judge(workload, Placement(platform, offer, context))
        for platform in ordered
        for offer in platform.offers
    ]
    candidates.sort(key=lambda found: (_rejections(found), score(found, workload, context)))
    chosen = candidates[0] if candidates and candidates[0].is_feasible else None
    return Plan(
        workload=workload.name,
        chosen=chosen,
        rejected=tuple(candidates[1:] if chosen else candidates),
        inputs_digest=digest_of(canonical_inputs(workload, ordered, context)),
    )


def judge(workload: Workload, placement: Placement) -> Candidate:
    """Ask every rule about one offer, also those after the first that rejects it."""
    (need,) = needs_of(workload)
    verdicts = (rule.ask(need, placement) for rule in RULES_OF[need.function])
    return Candidate(
        platform=placement.platform.name,
        offer=placement.offer,
        verdicts=tuple(verdict for verdict in verdicts if verdict is not None),
        cost_per_hour=cost_per_hour(workload, placement.offer),
    )


def canonical_inputs(workload: Workload, platforms: Iterable[Platform], context: Context) -> bytes:
    """Return all that a plan depends on as JSON with sorted keys; what `inputs_digest` digests."""
    inputs = {
        "context": context.model_dump(mode="json"),
        "platforms": [
            platform.model_dump(mode="json")
            for platform in sorted(platforms, key=lambda platform: platform.name)
        ],
        "workload": workload.model_dump(mode="json"),
    }
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _rejections(candidate: Candidate) -> int:
    return sum(verdict.outcome is Outcome.NOT_OK for verdict in candidate.verdicts)
