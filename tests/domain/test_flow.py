"""What a flow's file may say, and what an evaluation takes over from it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from plinth.domain.flow import FlowEvaluation, PromptFlow
from plinth.domain.load import LoadError, load_workload
from plinth.domain.need import needs_of
from plinth.domain.workload import SERVED, WORKLOAD


def flow(**fields: Any) -> PromptFlow:
    return PromptFlow(kind="flow", name="answers", **fields)


def test_without_an_app_it_is_a_prompt_flow() -> None:
    assert flow().runtime == "promptflow"
    assert flow(app="main:app").runtime == "asgihost"


@pytest.mark.parametrize("app", ["main", "main:", ":app", "main:a b", "../main:app", "main.py:app"])
def test_an_app_names_an_object_of_a_module(app: str) -> None:
    with pytest.raises(ValidationError, match="names no object of a module"):
        flow(app=app)


def test_only_a_prompt_flow_has_connections() -> None:
    search = {"search": {"ENDPOINT": "https://search"}}
    assert flow(connections=search).connections == search
    with pytest.raises(ValidationError, match="an app reads `variables`"):
        flow(app="main:app", connections=search)


def test_tokens_are_limited_where_the_models_are() -> None:
    assert flow(limits=[{"requests_per_minute": 5}]).policy.limits[0].requests_per_minute == 5
    with pytest.raises(ValidationError, match="limited at the endpoints of the models"):
        flow(limits=[{"tokens_per_minute": 5}])


def test_it_serves_with_one_deployment_and_a_key_of_its_own() -> None:
    made = flow(limits=[{"requests_per_minute": 5}], max_body="1MB", ready_timeout="20s")
    (name,) = made.by_name()
    one = made.by_name()[name]
    assert (name, one.external, one.runtime, one.ready_timeout) == ("main", None, "promptflow", 20)
    assert (made.ends, made.calls, made.tracked, made.instances) == (False, True, True, 1)
    assert made.policy.retries == 0
    # What only the gateway must know makes no other run.
    assert made.only("main") == flow(ready_timeout="20s").only("main")


def test_what_it_may_reach_is_the_gateway_unless_it_says_so() -> None:
    assert flow().reaches == "gateway"
    assert flow(network="open").reaches == "open"


def test_it_needs_what_a_flow_needs() -> None:
    (need,) = needs_of(flow(resources={"cpu": 2}, network="open"))
    assert (need.function, need.kind, need.resources.cpu) == ("flow", "flow", 2)
    assert need.network == "open"


def test_a_file_and_a_row_give_the_same_flow() -> None:
    read = load_workload("kind: flow\nname: answers\napp: main:app\n", "flow.yaml")
    assert read == flow(app="main:app")
    stored = read.model_dump(mode="json", exclude_unset=True)
    assert SERVED.validate_python(stored) == WORKLOAD.validate_python(stored) == read


def test_a_mistake_in_the_file_names_its_line() -> None:
    with pytest.raises(LoadError) as caught:
        load_workload("kind: flow\nname: answers\nmodel: models:/m@x\n", "flow.yaml")
    assert "flow.yaml:3: model" in caught.value.message
    assert "belongs to kind `endpoint`" in caught.value.message


def test_an_evaluation_runs_what_the_flow_would_and_ends() -> None:
    made = flow(app="main:app", variables={"A": "b"}, team="research", network="open")
    asked = FlowEvaluation.of(made, expected="right")
    assert (asked.name, asked.app, asked.variables, asked.team) == (
        *("answers", "main:app", {"A": "b"}, "research"),
    )
    assert (asked.ends, asked.calls, asked.tracked, asked.key_s) == (True, True, True, 3600)
    assert (asked.reaches, asked.runtime) == ("open", "asgihost")
    assert WORKLOAD.validate_python(asked.model_dump(mode="json")) == asked
    assert needs_of(asked)[0].function == "flow"


@pytest.mark.parametrize("variant", ["ask", "ask.", ".terse", "a.b.c", "a\n.b"])
def test_a_variant_is_a_node_and_a_name(variant: str) -> None:
    assert FlowEvaluation.of(flow(), variants=("ask.terse",)).variants == ("ask.terse",)
    with pytest.raises(ValidationError):
        FlowEvaluation.of(flow(), variants=(variant,))


def test_no_file_declares_an_evaluation() -> None:
    with pytest.raises(LoadError, match="is not a kind of workload"):
        load_workload("kind: evaluation\nname: answers\n", "flow.yaml")
