"""Training and tuning: availability, freshness, spot, several machines, data from elsewhere.

`duty.py`, `measured_size.py` and `tuned_model.py` hold what else is asked; the tuple is here.
"""

from __future__ import annotations

import math

from plinth.catalog.platforms import find_facts, platform_names, system_of
from plinth.domain.application import HOURS_PER_MONTH, TrainDemand
from plinth.domain.need import Need
from plinth.domain.plan import Change, Verdict
from plinth.domain.platform import Function
from plinth.planning.context import Placement
from plinth.planning.rules.basic import taken_back_at_any_time
from plinth.planning.rules.duty import (
    DAY_H,
    compute_ends,
    not_full_time,
    short_and_irregular,
    written_hours,
)
from plinth.planning.rules.measured_size import size_measured
from plinth.planning.rules.rule import (
    Pillar,
    Rule,
    Scope,
    counted,
    listed,
    not_ok,
    ok,
    set_field,
    unknown,
)
from plinth.planning.rules.tuned_model import method_allowed, model_tunable

# The field's longest duration, 366 days.
_LONGEST_H = 366 * DAY_H
_MOST_RUNS = 44_640


def zones_survived(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether training goes on after a zone is lost, where a recovery time is stated.

    Without one, performance goes before reliability.
    """
    rto = need.requirements.rto
    if rto is None:
        if need.kind == "job" or need.requirements.criticality == "critical":
            return None
        return ok("T0a", "performance before reliability: no recovery time is asked for")
    hours = f"back within {written_hours(rto / 3600)} after a zone is lost"
    redundant = placement.platform.capability.regions.zone_redundant
    if redundant is None:
        fact = f"`regions.zone_redundant` is missing in platforms/{placement.platform.name}.yaml"
        return unknown(
            "T0a", f"{hours} is asked for; whether it survives that is not known: {fact}"
        )
    if redundant:
        return ok("T0a", f"{hours} is asked for; it can stand in several zones")
    reason = f"{hours} is asked for; it stands in one zone, and nothing trains until that is back"
    return not_ok("T0a", reason, set_field(need, "requirements.rto", None))


def region_survived(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether training can go on in a second region, where it is critical."""
    if need.requirements.criticality != "critical":
        return None
    facts = placement.platform.capability.regions
    asked = "it is critical, so it has to survive the loss of a region"
    if facts.processed_in == ("machine",):
        change = set_field(need, "requirements.criticality", "production")
        return not_ok("T0a.region", f"{asked}; this is one machine", change)
    if facts.multi_region is None:
        name = placement.platform.name
        fact = f"`regions.multi_region` is missing in platforms/{name}.yaml"
        return unknown("T0a.region", f"{asked}; how it spans regions is not known: {fact}")
    return ok("T0a.region", f"{asked}: {facts.multi_region}")


def fresh_enough(need: Need, _placement: Placement) -> Verdict | None:
    """Tell whether it is trained often enough for the model to be as fresh as is asked."""
    wanted = need.requirements.freshness
    if wanted is None:
        return None
    if not isinstance(need.demand, TrainDemand):
        reason = "how often it runs is not stated; an application states it as `train.demand.runs`"
        return unknown("T0b", reason)
    oldest, runs, took = wanted / 3600, need.demand.runs, need.run_hours
    between = HOURS_PER_MONTH / runs
    asked = f"a model may be {written_hours(oldest)} old; {counted(runs, 'run', 'g')} a month"
    if took is None:
        field = f"`{need.at('demand.duration')}`"
        asked = f"{asked} start {written_hours(between)} apart"
        if between > oldest:
            return not_ok("T0b", f"{asked}, and each takes time: {field}")
        return unknown("T0b", f"{asked}; how long one takes is not stated: {field}")
    age = between + took
    reason = f"{asked} of {written_hours(took)} let it grow {written_hours(age)} old"
    if age <= oldest:
        return ok("T0b", reason)
    return not_ok("T0b", reason, _fresher(need, oldest, took, age))


def checkpoint_verified(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it was shown that the training goes on where it was interrupted (spot)."""
    if not taken_back_at_any_time(placement):
        return None
    said = need.requirements.checkpoint
    if said == "verified":
        return ok("T5b.checkpoint", "it was shown that it goes on where it was interrupted")
    reason = (
        "that it goes on after an interruption is declared, and not yet shown by interrupting it"
        if said == "declared"
        else "it would lose its work at each interruption: no checkpoint is declared or verified"
    )
    change = set_field(need, "requirements.checkpoint", "verified")
    return not_ok("T5b.checkpoint", reason, change)


def spans_machines(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether one run can span as many machines as it asks for."""
    if need.instances <= 1:
        return None
    nodes = counted(need.instances, "machine")
    able = placement.platform.capability.compute.distributed
    if able is None:
        fact = f"`compute.distributed` is missing in platforms/{placement.platform.name}.yaml"
        return unknown("T5d", f"one run needs {nodes}; whether it can span them is unknown: {fact}")
    if able:
        return ok("T5d", f"one run needs {nodes}, and may span several")
    reason = f"one run needs {nodes}; a run there has one"
    return not_ok("T5d", reason, Change(field=need.instances_field, value=1))


def guidance_default(_need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it is the guidance's default for training, and what that gives up."""
    capability = placement.platform.capability
    if "T7" not in (capability.guidance.default_for or ()):
        return None
    lost = capability.control.lost
    given_up = ", ".join(lost) if lost else ("what is not known" if lost is None else "nothing")
    return ok("T7", f"the guidance's default for training and tuning; it gives up {given_up}")


def data_handed_over(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it can read, by version, data that another platform keeps."""
    here = placement.platform.name
    kept = {name: data.platform for name, data in need.data.items() if data.platform}
    system = system_of(here)
    away = {name: where for name, where in kept.items() if system_of(where) != system}
    if not away:
        return ok("T3", f"{listed(kept)}: on it already") if kept else None
    facts = {where: find_facts(where) for where in away.values() if where in platform_names()}
    bound = [
        name
        for name, where in away.items()
        if where in facts and facts[where].regions.processed_in == ("machine",)
    ]
    if bound:
        reason = f"{listed(bound)} on one machine that other platforms cannot read: copy it first"
        change = Change(field=f"data.{bound[0]}.platform", value=here)
        return not_ok("T3", reason, change if len(away) == 1 else None)
    if need.requirements.private_network:
        private = {
            name: facts[where].network.private_endpoint if where in facts else None
            for name, where in away.items()
        }
        closed = [name for name, known in private.items() if known is False]
        if closed:
            change = set_field(need, "requirements.private_network", False)
            return not_ok("T3", f"no private address to read {listed(closed)} from", change)
        unclear = ", ".join(f"`{away[name]}`" for name in private if private[name] is None)
        if unclear:
            return unknown("T3", f"whether {unclear} has a private address is not known")
    where = ", ".join(f"`{name}` on `{where}`" for name, where in away.items())
    return ok("T3", f"{where}: read from there by version, as files")


def _fresher(need: Need, oldest: float, took: float, age: float) -> Change | None:
    """Return more runs where they fit one after another, else the age that holds."""
    if oldest > took:
        runs = math.ceil(HOURS_PER_MONTH / (oldest - took))
        # Divisions are rounded; what is printed has to hold.
        runs += HOURS_PER_MONTH / runs + took > oldest
        if runs <= _MOST_RUNS and runs * took <= HOURS_PER_MONTH:
            return set_field(need, "demand.runs", runs)
    hours = math.ceil(age)
    if hours > _LONGEST_H:
        return None
    return set_field(need, "requirements.freshness", f"{hours}h")


_TRAIN: frozenset[Function] = frozenset({"train"})
_WORKS: frozenset[Function] = frozenset({"train", "batch"})
TRAIN: tuple[Rule, ...] = (
    Rule("T0a", Pillar.RELIABILITY, Scope.WAY, zones_survived, _TRAIN),
    Rule("T0a.region", Pillar.RELIABILITY, Scope.WAY, region_survived, _TRAIN),
    Rule("T1", Pillar.COST, Scope.WAY, compute_ends, _TRAIN),
    Rule("T0b", Pillar.RELIABILITY, Scope.WAY, fresh_enough, _TRAIN),
    Rule("T3", Pillar.OPERATIONS, Scope.WAY, data_handed_over, _WORKS),
    Rule("T4", Pillar.PERFORMANCE, Scope.OFFER, size_measured, _TRAIN),
    Rule("T5a", Pillar.COST, Scope.WAY, short_and_irregular, _TRAIN),
    Rule("T5c", Pillar.COST, Scope.WAY, not_full_time, _TRAIN),
    Rule("T5b.checkpoint", Pillar.RELIABILITY, Scope.WAY, checkpoint_verified, _TRAIN),
    Rule("T5d", Pillar.PERFORMANCE, Scope.WAY, spans_machines, _TRAIN),
    Rule("T6", Pillar.OPERATIONS, Scope.WAY, method_allowed, _TRAIN),
    Rule("T6.model", Pillar.OPERATIONS, Scope.OFFER, model_tunable, _TRAIN),
    Rule("T7", Pillar.OPERATIONS, Scope.WAY, guidance_default, _TRAIN),
)
