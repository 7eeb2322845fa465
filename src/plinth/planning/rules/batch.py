"""Batch inference: where the data is, hosted models, many inputs, Spark, and the default (H11-H15).

`batch_tree.py` says afterwards which of these branches a choice took.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

from plinth.catalog.platforms import find_facts, platform_names, system_of
from plinth.domain.application import HOURS_PER_MONTH, BatchDemand, Data
from plinth.domain.need import Need
from plinth.domain.plan import Change, Verdict
from plinth.domain.platform import Capability, Function
from plinth.kit.units import format_bytes, format_duration
from plinth.planning.context import Placement
from plinth.planning.rules.duty import busy_words
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

BATCH_ONLY: frozenset[Function] = frozenset({"batch"})
# How the verdict of H11a begins where nothing has to be moved; batch_tree.py looks for it.
LIES_HERE = "the data lies here"
# What may be read in a month from a platform that you own and that could infer by itself. The limit
# is Plinth's: the guidance says to infer where the data is, and names no number.
MOVED_MAX_BYTES = 10**12
# From this part of a month on, compute that is always there has next to nothing idle.
_ALWAYS_BUSY = 0.9
_HOUR_S = 3600
_MOST_NODES = 1000
_LONGEST_S = 366 * 86400


def compute_is_transient(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether its compute exists, and is paid for, only while a batch runs."""
    capability = placement.platform.capability
    if not _does_batch(capability):
        return None
    if placement.offer.tier == "own-hardware":
        return ok("H1a", "the machines are yours: idle, they cost no more")
    if capability.compute.ephemeral:
        return ok("H1a", "its compute ends with each run")
    if capability.scale_to_zero:
        return ok("H1a", "it scales to zero between the runs")
    if capability.compute.ephemeral is None and capability.scale_to_zero is None:
        reason = (
            "whether its compute ends with a run is not known; `compute.ephemeral` of its facts "
            "would say it"
        )
        return unknown("H1a", reason)
    if need.busy_hours is None:
        return not_ok("H1a", "a batch needs compute for its runs only; its machines stay")
    busy = need.busy_hours
    if busy > HOURS_PER_MONTH:
        return ok("H1a", f"its machines stay, and are {busy_words(busy)}")
    numbers = f"busy for {busy:,.0f} of {HOURS_PER_MONTH} h a month"
    if busy >= _ALWAYS_BUSY * HOURS_PER_MONTH:
        return ok("H1a", f"its machines stay, and they are {numbers}")
    return not_ok("H1a", f"{numbers}; its machines stay, and are paid for, in between")


def data_is_near(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it infers where the data is, and how much is moved to it where it does not."""
    kept = {name: each for name, each in need.data.items() if each.platform is not None}
    if not kept or not _does_batch(placement.platform.capability):
        return None
    here = system_of(placement.platform.name)
    away = {name: each for name, each in kept.items() if system_of(each.platform or "") != here}
    if not away:
        return ok("H11a", f"{LIES_HERE}: {listed(kept)} on {_origins(kept)}")
    moved = f"{_month_words(need, away)} a month are read from {_origins(away)}"
    if need.uses_hosted_model:
        return ok("H11a", f"{moved}: `{need.model}` stands at its provider, so the data goes to it")
    heavy = {name: each for name, each in away.items() if _infers_itself(each, placement)}
    if not heavy:
        return ok("H11a", moved)
    limit = format_bytes(MOVED_MAX_BYTES)
    if _month_bytes(need, heavy) <= MOVED_MAX_BYTES:
        return ok("H11a", f"{moved}; the work follows the data above {limit} (Plinth's limit)")
    reason = (
        f"{_month_words(need, heavy)} a month would be read from {_origins(heavy)}, which you own "
        f"and which can infer there; above {limit} (Plinth's limit) the work follows the data"
    )
    return not_ok("H11a", reason, _nearer(need, heavy, placement))


def inference_is_apart(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether inference has compute of its own beside the data platform's other work."""
    capability = placement.platform.capability
    if not capability.batch.spark:
        return None
    required = need.requirements
    important = required.criticality in ("production", "critical")
    if not (important or required.isolate_from):
        return None
    why = f"criticality `{required.criticality}`" if important else "`isolate_from`"
    if capability.compute.ephemeral is False:
        # Where both ask for it, no single change to the file withdraws the question.
        change = None
        if not required.isolate_from:
            change = set_field(need, "requirements.criticality", "test")
        elif not important:
            change = set_field(need, "requirements.isolate_from", [])
        reason = f"{why} asks for compute of its own; these machines do all of the platform's work"
        return not_ok("H11b", reason, change)
    if capability.compute.ephemeral is None:
        reason = (
            f"{why} asks for compute of its own; whether a run gets it is not known, "
            "`compute.ephemeral` of its facts would say it"
        )
        return unknown("H11b", reason)
    return ok("H11b", f"{why} asks for compute of its own; each run has a cluster made for it")


def hosted_batch_fits(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether batches of a hosted model fit its limits and are answered in time."""
    # Of a platform for models of one's own, H0b says that it has no hosted model.
    if need.model is None or placement.platform.capability.control.formats != ():
        return None
    batch = placement.platform.capability.batch
    if need.window is not None and batch.window_hours is None:
        reason = (
            f"needs the answers within {format_duration(need.window)}; what it aims at is not "
            "known, `batch.window_hours` of its facts would say it"
        )
        return unknown("H12", reason)
    hours = batch.window_hours or 0.0
    if need.window is not None and need.window < hours * _HOUR_S:
        reason = (
            f"needs the answers within {format_duration(need.window)}; it aims at {hours:g} h and "
            "promises no time"
        )
        return not_ok("H12", reason, _window(need, hours * _HOUR_S))
    said = [_files(need, batch.requests_max)]
    if hours:
        said.append(f"it aims at {hours:g} h for an answer and promises no time")
    if batch.discount_percent:
        said.append(f"{batch.discount_percent} % below the price of the same requests made online")
    return ok("H12", "; ".join(filter(None, said)))


def inputs_are_shared_out(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether many inputs are worked through on as many machines as are asked for."""
    capability = placement.platform.capability
    if need.uses_hosted_model or not _does_batch(capability):
        return None
    parallel, nodes = _parallel(capability), need.instances
    rows = need.demand.rows if isinstance(need.demand, BatchDemand) else None
    if nodes == 1:
        if rows is None:
            return None
        how = ", in portions" if capability.batch.mini_batches else ""
        return ok("H13a", f"one machine works through {counted(rows, 'row', ',')} of a run{how}")
    if parallel is False:
        reason = f"{nodes} machines are to share the inputs; a run there has one machine"
        return not_ok("H13a", reason, Change(field=need.instances_field, value=1))
    if parallel is None:
        reason = (
            f"whether {nodes} machines can share the inputs there is not known; `batch.parallel` "
            "of its facts would say it"
        )
        return unknown("H13a", reason)
    if need.spark or capability.batch.spark:
        return ok("H13a", f"Spark there shares the inputs out among {nodes} machines")
    if capability.batch.mini_batches:
        return ok("H13a", f"it hands the inputs out in portions to {nodes} machines")
    if capability.batch.mini_batches is False:
        reason = f"{nodes} machines at once; it makes no portions, so your program shares them out"
        return ok("H13a", reason)
    reason = (
        f"{nodes} machines at once; whether it hands the inputs out in portions is not known, "
        "`batch.mini_batches` of its facts would say it"
    )
    return unknown("H13a", reason)


def run_is_done_in_time(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether one run is done within its window, and what a lost machine costs."""
    if need.window is None or need.uses_hosted_model:
        return None
    hours, allowed = need.run_hours, format_duration(need.window)
    if hours is None:
        reason = (
            f"whether a run is done in {allowed} is not known; `{need.at('demand.duration')}` "
            "would say it, or `rows` with `rows_per_second`"
        )
        return unknown("H13b", reason)
    takes = f"a run takes {_time(hours * _HOUR_S)} on {counted(need.instances, 'machine')}"
    if hours * _HOUR_S <= need.window:
        resumes = placement.platform.capability.batch.resumes
        lost = {
            True: "; what is finished survives a lost machine",
            False: "; when a machine is lost, the run begins anew",
            None: "",
        }[resumes]
        return ok("H13b", f"{takes}, {allowed} are allowed{lost}")
    nodes = _nodes_in_time(need) if _parallel(placement.platform.capability) else None
    change = _window(need, hours * _HOUR_S)
    more = ""
    if nodes is not None:
        change = Change(field=need.instances_field, value=nodes)
        more = f"; {nodes} machines would do"
    return not_ok("H13b", f"{takes}, {allowed} are allowed{more}", change)


def pipeline_is_a_target(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether a pipeline, and not only a model, can work on the inputs."""
    if need.target != "pipeline":
        return None
    able = placement.platform.capability.batch.pipelines
    if able is None:
        reason = (
            "whether a pipeline can be the target is not known; `batch.pipelines` of its facts "
            "would say it"
        )
        return unknown("H13c", reason)
    if able:
        return ok("H13c", "a pipeline can be the target")
    reason = "a pipeline is to work on the inputs; it runs a model or a program only"
    return not_ok("H13c", reason, set_field(need, "target", "model"))


def spark_runs(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it runs a program for Spark."""
    if not need.spark:
        return None
    able = placement.platform.capability.batch.spark
    if able is None:
        return unknown(
            "H14", "whether it runs Spark is not known; `batch.spark` of its facts would say it"
        )
    if able:
        return ok("H14", "it runs Spark")
    return not_ok("H14", "a program for Spark; it runs none", set_field(need, "spark", False))


def is_the_default(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it is the guidance's default for batch, where nothing else decides."""
    named = placement.platform.capability.guidance.default_for or ()
    if "H15" not in named or need.uses_hosted_model or need.spark:
        return None
    return ok("H15", "the guidance's default for batch")


def _does_batch(capability: Capability) -> bool:
    """Tell whether it does batches at all; of one that does not, G2 says all there is to say."""
    return "batch" in capability.functions


def _infers_itself(data: Data, placement: Placement) -> bool:
    """Tell whether the data lies on a platform that you own and that infers over it with Spark."""
    system = system_of(data.platform or "")
    owned = placement.context.inventory.owned
    return any(system_of(each.platform) == system for each in owned) and _has_spark(system)


@cache
def _has_spark(system: str) -> bool:
    """Look it up by name; the facts are the catalog's, which do not change in a process."""
    found = (find_facts(name) for name in platform_names() if system_of(name) == system)
    return any("batch" in each.functions and each.batch.spark for each in found)


def _nearer(need: Need, heavy: Mapping[str, Data], placement: Placement) -> Change | None:
    """Return the change that alone brings what is moved below the limit: the largest data here."""
    largest = max(heavy, key=lambda name: heavy[name].size)
    rest = {name: each for name, each in heavy.items() if name != largest}
    if _month_bytes(need, rest) <= MOVED_MAX_BYTES:
        return Change(field=f"data.{largest}.platform", value=placement.platform.name)
    runs = MOVED_MAX_BYTES // sum(each.size for each in heavy.values())
    return set_field(need, "demand.runs", runs) if runs else None


def _month_bytes(need: Need, data: Mapping[str, Data]) -> float:
    return sum(need.moved_bytes_of(each) for each in data.values())


def _month_words(need: Need, data: Mapping[str, Data]) -> str:
    return format_bytes(math.ceil(_month_bytes(need, data)))


def _origins(data: Mapping[str, Data]) -> str:
    return listed(sorted({each.platform for each in data.values() if each.platform is not None}))


def _files(need: Need, most: int | None) -> str:
    rows = need.demand.rows if isinstance(need.demand, BatchDemand) else None
    if most is None:
        return ""
    if rows is None:
        return f"at most {most:,} requests in a file"
    files = -(-rows // most)
    return f"{rows:,} requests of a run go in {counted(files, 'file', ',')} of at most {most:,}"


def _parallel(capability: Capability) -> bool | None:
    """Return whether a run may have several machines; a job that cannot span them says no."""
    known = capability.batch.parallel
    return False if known is None and capability.compute.distributed is False else known


def _nodes_in_time(need: Need) -> int | None:
    """Return how many machines end a run in its window; None: unknown, or too many."""
    demand, hours = need.demand, need.run_hours
    # A duration that was stated is that of the machines that were stated.
    if not isinstance(demand, BatchDemand) or demand.duration is not None:
        return None
    if not demand.rows or not demand.rows_per_second or hours is None or need.window is None:
        return None
    nodes_exact = hours * _HOUR_S * need.instances / need.window
    if nodes_exact > _MOST_NODES:
        return None
    nodes = math.ceil(nodes_exact)
    # The quotient may be rounded down; the run must end in time by the need's own arithmetic.
    while demand.rows / (demand.rows_per_second * nodes) / _HOUR_S * _HOUR_S > need.window:
        nodes += 1
    return nodes if nodes <= _MOST_NODES else None


def _window(need: Need, seconds: float) -> Change | None:
    """Return the change to a window of that length, in whole minutes, rounded up."""
    if seconds > _LONGEST_S:
        return None
    minutes = math.ceil(seconds / 60)
    text = f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"
    return set_field(need, "window", text)


def _time(seconds: float) -> str:
    # What was measured may be so slow that no clock shows it.
    return format_duration(seconds) if seconds <= _LONGEST_S else "more than a year"


BATCH: tuple[Rule, ...] = (
    Rule("H1a", Pillar.COST, Scope.WAY, compute_is_transient, BATCH_ONLY),
    Rule("H11a", Pillar.PERFORMANCE, Scope.WAY, data_is_near, BATCH_ONLY),
    Rule("H11b", Pillar.RELIABILITY, Scope.WAY, inference_is_apart, BATCH_ONLY),
    Rule("H12", Pillar.PERFORMANCE, Scope.WAY, hosted_batch_fits, BATCH_ONLY),
    Rule("H13a", Pillar.PERFORMANCE, Scope.WAY, inputs_are_shared_out, BATCH_ONLY),
    Rule("H13b", Pillar.PERFORMANCE, Scope.WAY, run_is_done_in_time, BATCH_ONLY),
    Rule("H13c", Pillar.OPERATIONS, Scope.WAY, pipeline_is_a_target, BATCH_ONLY),
    Rule("H14", Pillar.OPERATIONS, Scope.WAY, spark_runs, BATCH_ONLY),
    Rule("H15", Pillar.OPERATIONS, Scope.WAY, is_the_default, BATCH_ONLY),
)
