"""What every answer about a model, its server and its accelerator is held to."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import get_args

import pytest

from plinth.catalog.platforms import load_facts
from plinth.domain.application import Application
from plinth.domain.need import Need, needs_of
from plinth.domain.plan import Outcome, Verdict
from plinth.domain.platform import ModelFormat
from plinth.domain.workload import Endpoint
from plinth.planning.context import Placement
from plinth.planning.rules.model import (
    MODEL,
    accelerator_is_for_a_model,
    hosted_model_offered,
    own_model_taken,
    server_runs,
)
from tests.planning.rules.placed import application, apply, need, place, with_facts

SERVERS = (None, "triton", "torchserve", "vllm", "v2server", "kserve", "no-such-server")
ENDPOINT = Endpoint.model_validate({"kind": "endpoint", "name": "delay", "model": "models:/m@c"})
PLACES = tuple(
    (part, place(facts.name))
    for facts in load_facts()
    for part in ("online", "batch")
    if part in facts.functions
)


def named(name: str) -> Placement:
    """Return a place on a platform that the catalog does not have."""
    placement = place("aks")
    return replace(placement, platform=placement.platform.model_copy(update={"name": name}))


def outcome(verdict: Verdict | None) -> Outcome | None:
    return verdict.outcome if verdict else None


@pytest.mark.parametrize("server", SERVERS)
def test_every_change_of_server_or_format_admits_the_platform(server: str | None) -> None:
    tried = 0
    for part, placement in PLACES:
        for model_format in get_args(ModelFormat):
            whole = application(part, **{part: {"format": model_format, "server": server}})
            said = server_runs(needs_of(whole)[0], placement)
            if said is None or said.change is None:
                continue
            assert said.outcome is Outcome.NOT_OK
            then = server_runs(apply(whole, said.change, part), placement)
            assert outcome(then) is Outcome.OK, f"{placement.platform.name}: {said.change}"
            tried += 1
    assert tried > 10


def test_an_endpoint_on_this_machine_asks_none_of_them() -> None:
    (one,) = needs_of(ENDPOINT)
    assert [rule.id for rule in MODEL if rule.ask(one, place("local"))] == []


def test_an_endpoint_elsewhere_is_judged_without_changes_that_its_file_cannot_say() -> None:
    (one,) = needs_of(ENDPOINT)
    said = server_runs(one, place("aks"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "`mlflow-pyfunc` is served by `mlflow-server` and `kserve`"
    moved = replace(one, format="torch-archive")
    refused = server_runs(moved, place("aks"))
    assert refused is not None
    assert refused.outcome is Outcome.NOT_OK
    assert refused.change is None


def test_a_platform_without_a_row_is_unknown_and_never_loaded_for_an_endpoint() -> None:
    said = server_runs(need(online={"format": "onnx"}), named("our-own-cloud"))
    assert outcome(said) is Outcome.UNKNOWN
    assert server_runs(needs_of(ENDPOINT)[0], named("our-own-cloud")) is None


def test_nothing_is_asked_where_no_model_is_named() -> None:
    bare = need()
    for placement in (place("aks"), place("azure-openai-standard", model="gpt-4o")):
        assert [rule.id for rule in MODEL if rule.ask(bare, placement)] == []


def test_a_server_that_plinth_does_not_know_is_unknown_where_any_may_be_brought() -> None:
    said = server_runs(need(online={"server": "tritn"}), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason.startswith("Plinth knows no server `tritn`; did you mean `triton`?")


def test_a_server_that_retires_is_taken_with_its_day() -> None:
    said = server_runs(need(online={"format": "flow-dag"}), place("azureml-online-endpoint"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason.endswith("it retires on 2027-04-20")


def test_a_batch_job_loads_its_model_itself_unless_the_platform_takes_its_place() -> None:
    batch = need(part="batch", batch={"format": "onnx"})
    assert outcome(server_runs(batch, place("azureml-compute-cluster"))) is Outcome.OK
    said = server_runs(batch, place("azureml-batch-endpoint"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "its own server takes `mlflow-pyfunc`, `python`, not `onnx`"
    assert str(said.change) == "batch.format: mlflow-pyfunc"


def test_what_an_api_takes_away_may_be_unknown() -> None:
    placement = with_facts(place("external-model-api", model="m"), control={"lost": None})
    said = hosted_model_offered(need(online={"model": "m"}), placement)
    assert said is not None
    assert said.reason == "it offers `m` by its API only; what is lost is not known"


def test_an_accelerator_for_ones_own_model_is_in_order() -> None:
    fields = {"format": "onnx", "resources": {"accelerator": "A100"}}
    assert outcome(accelerator_is_for_a_model(need(online=fields), place("aks"))) is Outcome.OK


def test_a_server_asked_for_is_a_model_of_ones_own() -> None:
    said = own_model_taken(need(online={"server": "triton"}), place("azureml-serverless-api"))
    assert said is not None
    assert said.reason == "needs `triton`; it serves only models that its provider hosts"


def test_an_answer_takes_microseconds_once_it_is_known() -> None:
    one: Need = need(online={"format": "torchscript", "server": "torchserve"})
    placement = place("aks")
    server_runs(one, placement)
    start = time.process_time()
    for _ in range(1000):
        server_runs(one, placement)
    assert time.process_time() - start < 0.2


def test_the_questions_read_as_questions() -> None:
    for rule in MODEL:
        assert rule.question.startswith("Tell whether")
    assert isinstance(application(), Application)
