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


# -- workers ---------------------------------------------------------------------------------------


def test_one_worker_always_runs_unless_the_file_says_more() -> None:
    made = flow()
    assert (made.workers.is_one, made.sleeps, str(made.workers)) == (True, False, "1")


@pytest.mark.parametrize(
    ("written", "least", "most"),
    [("0..4", 0, 4), ("1..2", 1, 2), (3, 3, 3), ("2..2", 2, 2), ({"least": 0, "most": 1}, 0, 1)],
)
def test_workers_are_a_range_or_a_number(written: Any, least: int, most: int) -> None:
    made = flow(workers=written)
    assert (made.workers.least, made.workers.most, made.sleeps) == (least, most, least == 0)
    assert SERVED.validate_python(made.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    "written", ["0-4", "..4", "4..", "many", "-1..2", 0, -1, True, 1.5, None, [0, 4], "0...4"]
)
def test_what_is_no_number_of_workers_is_told_with_what_is(written: Any) -> None:
    with pytest.raises(ValidationError, match=r"is no number of workers; write `0\.\.4`"):
        flow(workers=written)


def test_a_range_that_goes_down_is_told_the_other_way_round() -> None:
    with pytest.raises(ValidationError, match=r"`4\.\.2` goes down; .* `2\.\.4`"):
        flow(workers="4..2")


@pytest.mark.parametrize("written", ["0..0", "0..65", 65])
def test_one_to_sixty_four_run_at_the_most(written: Any) -> None:
    with pytest.raises(ValidationError, match="64 are the most"):
        flow(workers=written)


def test_what_only_several_workers_have_is_refused_for_one() -> None:
    with pytest.raises(ValidationError, match=r"with `workers: 1` none does; .* `workers: 0\.\.1`"):
        flow(idle="5m")
    with pytest.raises(ValidationError, match="one of several workers takes, and there is one"):
        flow(concurrency=4)
    with pytest.raises(ValidationError, match=r"with `workers: 3` none does"):
        flow(workers=3, idle="5m")
    assert flow(workers=3, concurrency=4).concurrency == 4
    assert flow(workers="0..1", idle="5m").idle == 300


def test_a_file_has_them_as_they_are_written() -> None:
    text = "kind: flow\nname: answers\nworkers: 0..4\nidle: 10m\nconcurrency: 8\n"
    made = load_workload(text, "flow.yaml")
    assert isinstance(made, PromptFlow)
    assert (str(made.workers), made.idle, made.concurrency) == ("0..4", 600, 8)


def test_how_many_workers_run_is_said_in_words() -> None:
    workers = flow(workers="0..4").workers
    assert workers.told(0).startswith("asleep: 0 of 4 workers run, which costs nothing")
    assert workers.told(2) == "2 of 4 workers run"
    assert flow(workers="1..4").workers.told(0) == "0 of 4 workers run yet"


def test_other_workers_are_another_version() -> None:
    assert flow(workers="0..4").only("main") != flow().only("main")


@pytest.mark.parametrize("workers", ["0..100000", "0..65", "0..0", "4..0", 0, -1, 65, True, "..4"])
def test_a_number_of_workers_is_refused_with_the_most_there_may_be(workers: object) -> None:
    with pytest.raises(ValidationError) as caught:
        flow(workers=workers)
    (error,) = caught.value.errors()
    assert error["loc"] == ("workers",)
    assert "is no number of workers; write `0..4`" in error["msg"]
    assert error["msg"].endswith("64 are the most")


def test_a_worker_that_ends_before_it_is_of_use_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 s: a worker takes about as long"):
        flow(workers="0..4", idle="0.5s")
    assert flow(workers="0..4", idle="1s").idle == 1
    with pytest.raises(ValidationError, match="a server does not start with less than"):
        flow(resources={"memory": "1kB"})
