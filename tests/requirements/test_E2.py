"""E2: a GPU on demand, for a stated time."""

from __future__ import annotations

from plinth.domain.plan import Outcome
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
