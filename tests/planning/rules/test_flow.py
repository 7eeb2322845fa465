"""The rules of orchestration beside their plain cases, which stand in tests/requirements."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.catalog.platforms import load_facts
from plinth.domain.application import Application, FlowTool
from plinth.domain.plan import Outcome
from plinth.planning.context import Placement
from plinth.planning.rules import flow as rules
from plinth.planning.rules.flow import FLOW
from plinth.planning.rules.rule import Rule, Scope
from tests.planning.rules.placed import (
    admitted,
    application,
    month_cost,
    need,
    need_of,
    place,
    with_facts,
)

FLOW_PLATFORMS = tuple(facts.name for facts in load_facts() if "flow" in facts.functions)
MAYBE = st.sampled_from((True, False, None))


@st.composite
def applications(draw: st.DrawFn) -> Application:
    """Draw an application with a flow."""
    average = draw(st.sampled_from((0, 0.5, 9, 400_000)))
    demand: dict[str, Any] = {
        "requests_per_second": average,
        "peak_requests_per_second": draw(st.sampled_from((None, average, 2 * average))),
        "active_hours": draw(st.sampled_from((0, 80, 730, 744))),
        "replica_requests_per_second": draw(st.sampled_from((None, 1e-6, 0.7, 50))),
    }
    return application(
        "flow",
        flow={
            "tool": draw(st.sampled_from(get_args(FlowTool))),
            "replicas": draw(st.sampled_from((1, 3, 1000))),
            "demand": demand,
            "resources": {"accelerator": draw(st.sampled_from((None, "T4", "A100:8")))},
            "requirements": {"criticality": draw(st.sampled_from((None, "dev", "critical")))},
        },
    )


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    """Draw an offer of a real platform, some of whose facts are others."""
    cost = draw(st.sampled_from((None, month_cost(None), month_cost("120.50"))))
    found = place(draw(st.sampled_from(FLOW_PLATFORMS)), cost=cost)
    return with_facts(found, scale_to_zero=draw(MAYBE)) if draw(st.booleans()) else found


@settings(max_examples=150)
@given(applications(), placements())
def test_every_change_that_is_named_alone_satisfies_its_rule(
    whole: Application, placement: Placement
) -> None:
    for rule in FLOW:
        said = rule.ask(need_of(whole, "flow"), placement)
        if said is None:
            continue
        assert said.rule == rule.id
        assert said.reason
        if said.change is not None:
            assert said.outcome is Outcome.NOT_OK
            assert admitted(rule.ask, whole, placement, "flow"), f"{rule.id}: {said.change}"


@pytest.mark.parametrize("rule", FLOW, ids=lambda rule: rule.id)
def test_a_rule_is_a_question_for_flows_only(rule: Rule) -> None:
    assert rule.functions == {"flow"}
    assert rule.question.startswith("Tell whether ")


def test_only_the_rule_that_shows_a_cost_reads_the_offer() -> None:
    assert [rule.id for rule in FLOW if rule.scope is not Scope.WAY] == ["O3"]


@pytest.mark.parametrize("tool", get_args(FlowTool))
def test_some_platform_hosts_each_tool_and_none_is_forgotten(tool: str) -> None:
    asked = need(part="flow", flow={"tool": tool})
    said = {name: rules.tool_is_hosted(asked, place(name)) for name in FLOW_PLATFORMS}
    assert all(said.values())
    assert any(each and each.outcome is Outcome.OK for each in said.values())


def test_a_platform_that_the_catalog_does_not_have_is_unknown() -> None:
    assert rules._hosted("asgi", "no-such-platform")[0] is Outcome.UNKNOWN


def test_an_idle_month_names_its_cost_only_where_it_is_known() -> None:
    asked = need(part="flow", flow={"demand": {"active_hours": 146}})
    where = "azureml-online-endpoint"
    known = rules.follows_the_demand(asked, place(where, cost="1000"))
    unknown = rules.follows_the_demand(asked, place(where, cost=month_cost(None)))
    assert known is not None
    assert unknown is not None
    assert known.reason == (
        "keeps 1 replica running: 584 of 730 h a month are idle, about 800 USD of its cost"
    )
    assert unknown.reason == "keeps 1 replica running: 584 of 730 h a month are idle"


def test_more_replicas_than_a_file_may_ask_for_are_no_change() -> None:
    demand = {"requests_per_second": 9000, "replica_requests_per_second": 1}
    asked = need(part="flow", flow={"demand": demand})
    said = rules.follows_the_demand(asked, place("azureml-online-endpoint"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.change is None
