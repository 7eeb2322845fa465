"""A Plan as plain data for tables, and as the error of a workload that fits nowhere.

The command line and the console print what this returns; nothing here prints or knows of colours.
"""

from __future__ import annotations

from collections.abc import Sequence

from plinth.domain.plan import Candidate, Outcome, Plan, Verdict
from plinth.kit.errors import Invalid
from plinth.kit.units import format_bytes

_MOST_LINES = 20


class NoPlatformFits(Invalid):
    """Every candidate was rejected; the message names each rule that did, the hint what helps."""

    code = "no_platform_fits"


def summary(plan: Plan) -> str:
    """Return one sentence: where it will run and what that costs, or that nothing fits."""
    considered = len(plan.rejected) + (plan.chosen is not None)
    if plan.chosen is None:
        return f"no platform fits `{plan.workload}`: {considered} considered, 0 feasible"
    chosen = plan.chosen
    unknown = len(_with(chosen, Outcome.UNKNOWN))
    open_questions = f", {unknown} of its rules unknown" if unknown else ""
    return (
        f"`{plan.workload}` fits `{chosen.platform}` ({_size(chosen)}), price {_price(chosen)}; "
        f"{considered} considered{open_questions}"
    )


def no_platform_fits(plan: Plan) -> str:
    """Return the error's message: a first line, then every rejection in aligned columns."""
    cells = [
        (candidate.platform, verdict.rule, verdict.reason)
        for candidate in plan.rejected
        for verdict in _with(candidate, Outcome.NOT_OK)
    ]
    lines = _aligned(cells[:_MOST_LINES])
    if len(cells) > _MOST_LINES:
        lines.append(f"  and {len(cells) - _MOST_LINES} more; `plinth plan FILE --json` lists all")
    return "\n".join([summary(plan), *lines])


def nearest_change(plan: Plan) -> str:
    """Return the next step: the fewest changes to the file that admit a candidate, if any do."""
    for candidate in plan.rejected:
        failing = _with(candidate, Outcome.NOT_OK)
        remedies = [verdict.remedy for verdict in failing if verdict.remedy]
        if remedies and len(remedies) == len(failing):
            # Two rules may want the same.
            wanted = " and ".join(dict.fromkeys(remedies))
            return f"to run it on `{candidate.platform}`, set {wanted}"
    if not plan.rejected:
        return "no platform is configured; start one with `plinth up`"
    return "no change to the file admits a platform; add a platform that meets its requirements"


def _with(candidate: Candidate, outcome: Outcome) -> list[Verdict]:
    return [verdict for verdict in candidate.verdicts if verdict.outcome is outcome]


def _size(candidate: Candidate) -> str:
    offer = candidate.offer
    return f"{offer.sku}: {offer.cpu:g} cores, {format_bytes(offer.memory)}"


def _price(candidate: Candidate) -> str:
    if candidate.cost_per_hour is None:
        return "unknown"
    return f"{candidate.cost_per_hour:.2f} {candidate.offer.currency}/h"


def _aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    return [f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows]
