"""The guidance's ladder for online inference: where a platform stands, what was passed over.

`online.py` lists the two rules; `ladder_verdict` is for the plan of a part, once its candidate is
chosen. What somebody else operates comes first.
"""

from __future__ import annotations

from collections.abc import Mapping

from plinth.domain.need import Need
from plinth.domain.plan import Candidate, Outcome, PartPlan, Verdict
from plinth.domain.platform import Platform, Rung
from plinth.planning.context import Placement
from plinth.planning.rules.rule import listed, not_ok, ok, set_field, unknown

# From the least to operate to the most (H16 to H20).
LADDER: tuple[tuple[Rung, ...], ...] = (
    ("saas", "paas"),
    ("serverless",),
    ("managed",),
    ("kubernetes",),
    ("iaas",),
    ("own",),
)


def step_of(rung: Rung) -> int:
    """Return the place of a rung's step on the ladder, from 0."""
    return next(place for place, step in enumerate(LADDER) if rung in step)


def step_on_ladder(need: Need, placement: Placement) -> Verdict | None:
    """Tell which step of the ladder it is on, and what that leaves to you."""
    capability = placement.platform.capability
    rung = capability.compute.rung
    # An endpoint's own machine is not chosen from the ladder: Plinth runs there already.
    if need.kind == "endpoint" and rung in (None, "own"):
        return None
    if rung is None:
        reason = "how much of it somebody else operates is not known (`compute.rung` of its facts)"
        return unknown("H16.step", reason)
    hours, lost = capability.day2.total, capability.control.lost
    work = "work on it is not known" if hours is None else f"about {hours:g} hours of work a month"
    # Of a hosted model H0b lists it.
    gone = f"; no longer yours: {', '.join(lost)}" if lost and need.model is None else ""
    return ok("H16.step", f"step {step_of(rung) + 1} of {len(LADDER)}, `{rung}`: {work}{gone}")


def machine_kept_by_hand(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether a machine that is kept by hand bears how much depends on it."""
    capability = placement.platform.capability
    if capability.compute.rung != "iaas":
        return None
    hours = capability.day2.total
    work = "the hours are not known" if hours is None else f"about {hours:g} hours a month"
    if need.requirements.criticality == "critical":
        reason = (
            "`critical` has to survive the loss of a region; a machine that is kept by hand does "
            f"not, and its upkeep is a person's work already: {work}"
        )
        return not_ok("H20", reason, set_field(need, "requirements.criticality", "production"))
    return ok("H20", f"the last step before own hardware; patching and on-call are yours: {work}")


def ladder_verdict(part: PartPlan, platforms: Mapping[str, Platform]) -> Verdict | None:
    """Tell why each step above the chosen one was passed over (H16).

    `platforms` by name. None for another function than online, and where nothing is chosen.
    """
    chosen = part.chosen
    if part.function != "online" or chosen is None:
        return None
    rung = _rung(chosen, platforms)
    if rung is None:
        reason = (
            f"which step of the ladder `{chosen.platform}` is on is not known; "
            "`compute.rung` of its facts would say it"
        )
        return unknown("H16", reason)
    place = step_of(rung)
    if place == 0:
        return ok("H16", f"`{chosen.platform}` is on the first step of the ladder, `{rung}`")
    steps = (_passed(step, part, platforms) for step in LADDER[:place])
    return ok("H16", f"`{chosen.platform}` is on `{rung}`. Passed over: {'; '.join(steps)}")


def _passed(step: tuple[Rung, ...], part: PartPlan, platforms: Mapping[str, Platform]) -> str:
    """Say of one step what each platform of it was passed over for."""
    names = "/".join(step)
    best: dict[str, Candidate] = {}
    for each in part.rejected:
        platform = platforms.get(each.platform)
        if platform is None or part.function not in platform.capability.functions:
            continue
        if platform.capability.compute.rung in step and (
            each.platform not in best or (each.is_feasible and not best[each.platform].is_feasible)
        ):
            best[each.platform] = each
    if not best:
        return f"{names}: no candidate"
    reasons: dict[str, list[str]] = {}
    for name, each in best.items():
        reasons.setdefault(_why(each, part.chosen), []).append(name)
    return f"{names}: " + ", ".join(f"{listed(on)} ({why})" for why, on in reasons.items())


def _why(passed: Candidate, chosen: Candidate | None) -> str:
    first = next((one for one in passed.verdicts if one.outcome is Outcome.NOT_OK), None)
    if first is not None:
        return f"{first.rule}: {first.reason}"
    costs = passed.cost, chosen.cost if chosen else None
    if costs[0] is None or costs[1] is None or costs[0].currency != costs[1].currency:
        return "possible, its score is worse"
    theirs, ours = costs[0].amount, costs[1].amount
    if theirs is None or ours is None or theirs <= ours:
        return "possible, its score is worse"
    currency = costs[0].currency
    return f"possible, {theirs:,.2f} {currency} a month against {ours:,.2f}"


def _rung(candidate: Candidate, platforms: Mapping[str, Platform]) -> Rung | None:
    platform = platforms.get(candidate.platform)
    return platform.capability.compute.rung if platform else None
