"""E2: a GPU on demand, for a stated time."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from plinth.domain.plan import Outcome
from plinth.domain.workspace import PROFILES, GpuUse, Workspace
from plinth.planning.rules.explore import gpu_on_demand, gpu_time_limited
from tests.planning.rules.placed import application, apply, need, place, tried, with_facts

GPU = {"resources": {"accelerator": "T4"}, "demand": {"hours": 60}}


def test_a_compute_instance_gives_the_gpu() -> None:
    said = gpu_on_demand(need(part="explore", explore=GPU), place("azureml-compute-instance"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "needs 1 x T4; it gives GPUs on demand",
    )


def test_a_platform_without_gpus_is_rejected_until_none_is_asked_for() -> None:
    whole = application("explore", explore=GPU)
    without = with_facts(place("foundry-hub"), compute={"gpu": False})
    said = gpu_on_demand(need(part="explore", explore=GPU), without)
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.NOT_OK, "needs 1 x T4; it has no GPUs")
    assert said.change is not None
    assert gpu_on_demand(apply(whole, said.change, "explore"), without) is None


def test_where_nobody_knows_of_gpus_the_answer_is_unknown() -> None:
    said = gpu_on_demand(need(part="explore", explore=GPU), place("azureml-serverless-spark"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "`compute.gpu` is missing" in said.reason


def test_a_gpu_without_a_limit_of_time_is_rejected_with_the_hours_that_people_work() -> None:
    instance = place("azureml-compute-instance")
    said = gpu_time_limited(need(part="explore", explore=GPU), instance)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert "`explore.gpu_hours` states none; each person works 60 hours a month" in said.reason
    assert str(said.change) == "explore.gpu_hours: 60"
    then = tried(gpu_time_limited, application("explore", explore=GPU), instance, "explore")
    assert then is not None
    assert (then.rule, then.outcome) == ("E2.time", Outcome.OK)
    assert then.reason == "each person may hold a GPU for 60 hours of a month at most"


def test_without_a_gpu_nothing_is_asked() -> None:
    plain = need(part="explore", explore={})
    for ask in (gpu_on_demand, gpu_time_limited):
        assert ask(plain, place("azureml-compute-instance")) is None


def workspace(**fields: object) -> Workspace:
    return Workspace.model_validate({"kind": "workspace", "name": "lab", **fields})


def test_a_workspace_has_sizes_and_keeps_all_but_its_size_when_it_gets_another() -> None:
    small = workspace(data={"flights": "flights@1"}, shared=True)
    sizes = {
        name: small.resized(name, GpuUse(reason="tune", max_time=3600.0) if gpu else None).resources
        for name, gpu in ((each, "accelerator" in size) for each, size in PROFILES.items())
    }
    assert len({(each.cpu, each.memory, each.accelerator) for each in sizes.values()}) == 5
    assert small.resized("large").data == small.data


def test_a_gpu_workspace_without_a_reason_and_a_time_is_rejected() -> None:
    with pytest.raises(ValidationError, match="for a reason and a time"):
        workspace(profile="gpu")
    with pytest.raises(ValidationError, match="max_time"):
        workspace(profile="gpu", gpu={"reason": "tune"})
    assert workspace(profile="gpu", gpu={"reason": "tune", "max_time": "4h"}).longest_s == 14400
