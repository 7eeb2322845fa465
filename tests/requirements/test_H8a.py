"""H8a: latency: the budget, the neighbours that can use it up, and what was measured."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome, Verdict
from plinth.planning.context import Placement
from plinth.planning.rules.online import latency_kept, request_ends_in_time
from tests.planning.rules.placed import application, apply, need, place, tried

TIGHT = {"latency": "300ms", "criticality": "production"}


def judged(placement: Placement, part: str = "online", **online: object) -> Verdict:
    said = latency_kept(need(part=part, **{part: online}), placement)
    assert said is not None
    return said


def test_a_measured_latency_within_the_budget_is_accepted() -> None:
    said = judged(place("aks"), requirements=TIGHT, demand={"measured_latency": "240ms"})
    assert said.outcome is Outcome.OK
    assert said.reason == "measured 240 ms, the budget is 300 ms"


def test_a_measured_latency_beyond_the_budget_is_rejected_wherever_it_runs() -> None:
    online = {"requirements": TIGHT, "demand": {"measured_latency": "1.25s"}}
    said = judged(place("aks"), **online)
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "measured 1.25 s, the budget is 300 ms"
    assert said.remedy == "`online.requirements.latency: 1.25`"
    assert tried(latency_kept, application(online=online), place("aks")).outcome is Outcome.OK


@pytest.mark.parametrize("platform", ["azure-openai-standard", "external-model-api"])
def test_a_tight_budget_among_noisy_neighbours_is_rejected(platform: str) -> None:
    there = place(platform, tier="pay-as-you-go", model="gpt-4o")
    said = judged(there, requirements=TIGHT)
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "`production` within 300 ms on capacity that others share and nobody promises: their load "
        "can use the budget up"
    )
    assert said.change is not None
    then = apply(application(online={"requirements": TIGHT}), said.change)
    assert latency_kept(then, there) is None


def test_a_measurement_answers_what_neighbours_leave_open() -> None:
    there = place("azure-openai-standard", tier="pay-as-you-go", model="gpt-4o")
    said = judged(there, requirements=TIGHT, demand={"measured_latency": "250ms"})
    assert said.outcome is Outcome.OK


@pytest.mark.parametrize(
    ("platform", "latency", "words"),
    [
        (
            "azure-openai-provisioned",
            "300ms",
            "no other customer's load changes it; whether it keeps",
        ),
        ("azure-openai-standard", "5s", "others' load can change its latency"),
        ("local", "300ms", "others' load can change its latency"),
        ("aks", "300ms", "whether others' load changes its latency is not known"),
    ],
)
def test_what_nobody_measured_is_unknown_and_says_where_to_write_it(
    platform: str, latency: str, words: str
) -> None:
    said = judged(place(platform), requirements={**TIGHT, "latency": latency})
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason.startswith(words)
    assert said.reason.endswith("measure it and write `online.demand.measured_latency`")


def test_a_request_that_may_last_longer_than_the_platform_lets_it_is_rejected() -> None:
    whole = application(online={"requirements": {"latency": "10m"}})
    there = place("azureml-online-endpoint")
    said = request_ends_in_time(need(online={"requirements": {"latency": "10m"}}), there)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "a request is cut off after 180 s; the budget lets it take 10m 00s"
    assert tried(request_ends_in_time, whole, there).outcome is Outcome.OK


def test_the_limit_of_a_flow_is_that_of_flows() -> None:
    there = place("azureml-online-endpoint")
    flow = {"requirements": {"latency": "4m"}}
    said = request_ends_in_time(need(part="flow", flow=flow), there)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "a request is cut off after 300 s; the budget lets it take 4m 00s"


def test_a_request_that_was_measured_to_outlast_the_limit_has_no_change() -> None:
    online = {"requirements": {"latency": "10m"}, "demand": {"measured_latency": "200s"}}
    said = request_ends_in_time(need(online=online), place("azureml-online-endpoint"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "a request is cut off after 180 s; it was measured to take 3m 20s"
    assert said.change is None
    assert latency_kept(need(online=online), place("azureml-online-endpoint")) is not None


def test_without_a_budget_nothing_is_asked() -> None:
    assert latency_kept(need(), place("azure-openai-standard")) is None
    assert request_ends_in_time(need(), place("azureml-online-endpoint")) is None
