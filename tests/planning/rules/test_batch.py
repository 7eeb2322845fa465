"""The rules of batch inference beside their plain cases, which stand in tests/requirements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.catalog.platforms import load_facts, platform_names, system_of
from plinth.domain.application import Application
from plinth.domain.plan import Outcome
from plinth.domain.workload import Job
from plinth.planning.context import Placement
from plinth.planning.rules import batch as rules
from plinth.planning.rules.batch import BATCH, MOVED_MAX_BYTES
from plinth.planning.rules.rule import Rule, Scope
from tests.planning.rules.placed import (
    admitted,
    application,
    need,
    need_of,
    owning,
    place,
    tried,
    with_facts,
)

BATCH_PLATFORMS = tuple(facts.name for facts in load_facts() if "batch" in facts.functions)
MAYBE = st.sampled_from((True, False, None))
SIZES = st.sampled_from(("1GB", "40GB", "120GB", "900GB", "30TB"))
KEPT = st.sampled_from((None, "databricks-jobs", "synapse-spark", "azureml-batch-endpoint"))


@st.composite
def applications(draw: st.DrawFn) -> Application:
    """Draw an application with a batch part and up to three data."""
    names = draw(st.lists(st.sampled_from(("trips", "stops", "fares")), unique=True))
    part: dict[str, Any] = {
        "data": names,
        "nodes": draw(st.sampled_from((1, 2, 40))),
        "spark": draw(st.booleans()),
        "target": draw(st.sampled_from(("model", "pipeline"))),
        "window": draw(st.sampled_from((None, "10m", "8h", "24h", "3d"))),
        "requirements": {
            "criticality": draw(st.sampled_from((None, "dev", "production", "critical"))),
            "isolate_from": draw(st.sampled_from(((), ("online",)))),
        },
        "demand": {
            "runs": draw(st.sampled_from((0.5, 4, 30, 700))),
            "rows": draw(st.sampled_from((None, 1, 20_000_000, 10**13))),
            "duration": draw(st.sampled_from((None, "20m", "9h", "300d"))),
            "rows_per_second": draw(st.sampled_from((None, 1e-6, 0.3, 5000))),
        },
    }
    if draw(st.booleans()):
        part["model"] = "gpt-4o"
    data = {name: {"size": draw(SIZES), "platform": draw(KEPT)} for name in names}
    return application("batch", batch=part, online={}, data=data)


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    """Draw an offer of a real platform, some of whose facts are others."""
    tier = draw(st.sampled_from(("pay-as-you-go", "spot", "own-hardware", None)))
    found = place(draw(st.sampled_from(BATCH_PLATFORMS)), tier=tier)
    if draw(st.booleans()):
        found = owning(found, draw(st.sampled_from(("databricks-jobs", "synapse-spark"))))
    if draw(st.booleans()):
        return found
    facts = {each: draw(MAYBE) for each in ("parallel", "mini_batches", "pipelines", "spark")}
    return with_facts(
        found, batch=facts, compute={"ephemeral": draw(MAYBE)}, scale_to_zero=draw(MAYBE)
    )


@settings(max_examples=150)
@given(applications(), placements())
def test_every_change_that_is_named_alone_satisfies_its_rule(
    whole: Application, placement: Placement
) -> None:
    for rule in BATCH:
        said = rule.ask(need_of(whole, "batch"), placement)
        if said is None:
            continue
        assert said.rule == rule.id
        assert said.reason
        if said.change is not None:
            assert said.outcome is Outcome.NOT_OK
            assert admitted(rule.ask, whole, placement, "batch"), f"{rule.id}: {said.change}"


@settings(max_examples=50)
@given(applications(), placements())
def test_no_rule_reads_more_than_the_way(whole: Application, placement: Placement) -> None:
    other = placement.offer.model_copy(
        update={"region": "eastus", "sku": "ND96", "cpu": 96.0, "model": "gpt-4o"}
    )
    elsewhere = replace(placement, offer=other, count=9)
    one = need_of(whole, "batch")
    for rule in BATCH:
        assert rule.scope is Scope.WAY
        assert rule.ask(one, placement) == rule.ask(one, elsewhere)


@pytest.mark.parametrize("rule", BATCH, ids=lambda rule: rule.id)
def test_a_rule_is_a_question_for_batches_only(rule: Rule) -> None:
    assert rule.functions == {"batch"}
    assert rule.question.startswith("Tell whether ")


@pytest.mark.parametrize("name", BATCH_PLATFORMS)
def test_a_batch_of_which_little_is_said_is_asked_little(name: str) -> None:
    said = [rule.ask(need(part="batch"), place(name)) for rule in BATCH]
    assert {each.rule for each in said if each} <= {"H1a", "H15"}
    rejected = [each.rule for each in said if each and each.outcome is Outcome.NOT_OK]
    assert rejected == (["H1a"] if name == "data-science-vm" else [])


def test_all_faces_of_one_system_are_one_place_for_data() -> None:
    assert system_of("databricks-model-serving") == system_of("databricks-jobs") == "databricks"
    assert system_of("azureml-batch-endpoint") == "azureml"
    apart = {system_of(name) for name in ("aks", "kubernetes", "local", "synapse-spark")}
    assert len(apart) == 4
    assert {system_of(name) for name in platform_names()} >= {"azure-openai", "foundry"}


def moving(gb: int, runs: float = 1, **more: Any) -> Application:
    return application(
        "batch",
        data={"trips": {"size": f"{gb}GB", "platform": "databricks-jobs"}, **more},
        batch={"data": ["trips", *more], "demand": {"runs": runs}},
    )


def test_exactly_the_limit_may_be_moved() -> None:
    placement = owning(place("azureml-batch-endpoint"), "databricks-jobs")
    assert MOVED_MAX_BYTES == 1000 * 10**9
    most = rules.data_is_near(need_of(moving(1000), "batch"), placement)
    more = rules.data_is_near(need_of(moving(1001), "batch"), placement)
    assert most is not None
    assert more is not None
    assert (most.outcome, more.outcome) == (Outcome.OK, Outcome.NOT_OK)


def test_two_large_data_are_brought_below_the_limit_by_fewer_runs() -> None:
    stops = {"stops": {"size": "120GB", "platform": "databricks-model-serving"}}
    placement = owning(place("azureml-batch-endpoint"), "databricks-jobs")
    said = rules.data_is_near(need_of(moving(120, 30, **stops), "batch"), placement)
    assert said is not None
    assert str(said.change) == "batch.demand.runs: 4"
    then = tried(rules.data_is_near, moving(120, 30, **stops), placement, "batch")
    assert then.outcome is Outcome.OK
    assert then.reason.startswith("960.0 GB a month are read from")


def test_two_data_above_the_limit_each_have_no_single_change() -> None:
    stops = {"stops": {"size": "2TB", "platform": "databricks-jobs"}}
    placement = owning(place("azureml-batch-endpoint"), "databricks-jobs")
    said = rules.data_is_near(need_of(moving(2000, 1, **stops), "batch"), placement)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.change is None


def test_work_on_data_of_a_platform_that_you_do_not_own_is_not_held_back() -> None:
    said = rules.data_is_near(need_of(moving(50_000), "batch"), place("azureml-batch-endpoint"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "50.0 TB a month are read from `databricks-jobs`"


def test_a_run_whose_time_was_stated_is_given_a_longer_window_and_not_more_machines() -> None:
    whole = application("batch", batch={"window": "2h", "demand": {"duration": "150m"}})
    placement = place("azureml-batch-endpoint")
    said = rules.run_is_done_in_time(need_of(whole, "batch"), placement)
    assert said is not None
    assert said.reason == "a run takes 2h 30m on 1 machine, 2h 00m are allowed"
    assert str(said.change) == "batch.window: 150m"
    assert tried(rules.run_is_done_in_time, whole, placement, "batch").outcome is Outcome.OK


def test_a_run_of_more_than_a_year_has_no_window() -> None:
    demand = {"rows": 10**13, "rows_per_second": 1e-6}
    whole = application("batch", batch={"window": "2h", "demand": demand})
    said = rules.run_is_done_in_time(need_of(whole, "batch"), place("azureml-batch-endpoint"))
    assert said is not None
    assert said.reason == "a run takes more than a year on 1 machine, 2h 00m are allowed"
    assert said.change is None


def test_a_job_is_asked_none_of_them() -> None:
    assert not any("train" in rule.functions for rule in BATCH)
    assert Job.model_fields.keys().isdisjoint({"window", "spark"})
