"""How much of a month compute is busy: what ends with a run, what is short, what is full time."""

from __future__ import annotations

import math

from plinth.catalog.commitments import load_commitments
from plinth.domain.application import HOURS_PER_MONTH
from plinth.domain.need import Need
from plinth.domain.plan import Change, Verdict
from plinth.planning.context import Placement
from plinth.planning.rules.rule import not_ok, ok, set_field, unknown

DAY_H = 24
# Facts of a platform: how long a job may live, in days.
_LIFE = "life of a job"
# What a year of a machine costs less, with nothing paid ahead: the mildest way to commit.
_COMMITMENT = "1yr-no-upfront"


def compute_ends(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether its compute exists, and is paid for, only while a run goes on.

    A plain job is asked nothing: it runs once, and nobody says how often.
    """
    if need.kind == "job":
        return None
    capability = placement.platform.capability
    ephemeral, empties = capability.compute.ephemeral, capability.scale_to_zero
    if ephemeral or empties or placement.offer.tier == "own-hardware":
        if ephemeral:
            return ok("T1", "its compute ends with each run")
        how = "it scales to zero between the runs" if empties else "the machines are yours already"
        return ok("T1", how)
    if ephemeral is None and empties is None:
        fact = f"`compute.ephemeral` is missing in platforms/{placement.platform.name}.yaml"
        return unknown("T1", f"whether its compute ends with a run is not known: {fact}")
    busy = need.busy_hours
    if busy is None:
        return not_ok("T1", "a run needs compute while it goes on; its machines stay after it")
    breakeven, _ = break_even_hours()
    numbers = busy_words(busy)
    if busy >= breakeven:
        return ok("T1", f"its machines stay, and are {numbers}")
    return not_ok("T1", f"{numbers}; its machines stay, and are paid for, in between")


def short_and_irregular(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether its runs are short enough for compute that exists for one job."""
    capability = placement.platform.capability
    if not _is_serverless(placement):
        return None
    hours, busy = need.run_hours, need.busy_hours
    if hours is None or busy is None:
        return unknown("T5a", _duration_missing(need))
    limits = capability.limits.items or ()
    days = next((each.value for each in limits if each.name == _LIFE), None)
    if days is not None and hours > days * DAY_H:
        most = written_hours(days * DAY_H)
        reason = f"one run takes {written_hours(hours)}; a job lives {most} there at most"
        return not_ok("T5a", reason, set_field(need, "demand.duration", f"{days * DAY_H:g}h"))
    duty = busy / HOURS_PER_MONTH
    reason = f"runs of {written_hours(hours)}, {busy_words(busy)}"
    if duty <= 1:
        reason += f": a duty cycle of {duty:.1%}"
    return ok("T5a", f"{reason}, and nothing is paid between them")


def not_full_time(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it is busy for so few hours that a reserved machine would not cost less.

    Reserved all month, a machine costs 1 - discount of the hourly price; below that part of the
    hours it is cheaper to pay by the hour. Source: the catalog's commitments. At the spot price,
    which is below a reserved one, hours alone decide nothing, and the question does not arise.
    """
    if placement.offer.tier != "pay-as-you-go" or not _is_serverless(placement):
        return None
    busy = need.busy_hours
    if busy is None:
        return unknown("T5c", _duration_missing(need))
    breakeven, discount = break_even_hours()
    reason = (
        f"{busy_words(busy)}; a machine reserved for a year, {discount:.0%} "
        f"cheaper on average, pays from {written_hours(breakeven)} on"
    )
    if busy <= breakeven:
        return ok("T5c", reason)
    return not_ok("T5c", reason, _fewer_runs(need, breakeven))


def break_even_hours() -> tuple[float, float]:
    """Return from how many hours of a month a reserved machine pays, and the discount, 0 to 1."""
    discount = float(next(each.discount for each in load_commitments() if each.name == _COMMITMENT))
    return round(HOURS_PER_MONTH * (1 - discount), 6), discount


def busy_words(busy: float) -> str:
    """Write how much of a month something is busy; above one machine's hours, of how many."""
    if busy <= HOURS_PER_MONTH:
        return f"busy {written_hours(busy)} of {HOURS_PER_MONTH} a month"
    machines = math.ceil(busy / HOURS_PER_MONTH)
    return f"busy {busy:,.0f} h of a month, as much as {machines:,} machines have"


def written_hours(hours: float) -> str:
    """Write hours for people: `45 min`, `36 h`, `7 d`."""
    if hours < 1:
        return f"{hours * 60:.3g} min"
    if hours >= 100 * DAY_H:
        return f"{hours / DAY_H:.0f} d"
    return f"{hours:,.1f}".removesuffix(".0") + " h"


def _is_serverless(placement: Placement) -> bool:
    """Tell whether it makes machines for one job; an API of hosted models does not train."""
    capability = placement.platform.capability
    return capability.compute.rung == "serverless" and "train" in capability.functions


def _fewer_runs(need: Need, most: float) -> Change | None:
    """Return how many runs of the same length make at most so many hours of a month."""
    hours = need.run_hours
    if not hours:
        return None
    runs = most / hours
    # Rounded down, so that what the remedy says does hold.
    fitting = math.floor(runs) if runs >= 1 else math.floor(runs * 1000) / 1000
    return set_field(need, "demand.runs", fitting) if fitting > 0 else None


def _duration_missing(need: Need) -> str:
    if need.demand is None:
        return (
            "how many hours of a month it runs is not stated; an application states it as "
            "`train.demand.runs` and `train.demand.duration`"
        )
    return f"how long one run takes is not stated: `{need.at('demand.duration')}`"
