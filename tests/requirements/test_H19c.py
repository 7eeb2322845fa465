"""H19c: a baseline by test, and as many replicas as it asks for."""

from __future__ import annotations

from typing import Any

from plinth.domain.plan import Outcome, Verdict
from plinth.planning.rules.online import right_sized
from tests.planning.rules.placed import application, need, place, tried

DEMAND = {"peak_requests_per_second": 100, "replica_requests_per_second": 40}


def online(replicas: int, **requirements: Any) -> dict[str, Any]:
    return {
        "format": "onnx",
        "replicas": replicas,
        "demand": DEMAND,
        "requirements": requirements,
    }


def judged(replicas: int, **requirements: Any) -> Verdict:
    said = right_sized(need(online=online(replicas, **requirements)), place("aks"))
    assert said is not None
    return said


def test_as_many_as_the_peak_needs_are_accepted() -> None:
    said = judged(3)
    assert said.outcome is Outcome.OK
    assert said.reason == "3 replicas of 40 requests a second, the peak is 100"


def test_some_reserve_is_accepted_and_said() -> None:
    said = judged(8)
    assert said.outcome is Outcome.OK
    assert said.reason.endswith("the peak is 100; 3 would do")


def test_more_than_four_times_as_many_are_rejected_with_how_many_would_do() -> None:
    said = judged(20)
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "20 replicas of 40 requests a second, the peak is 100: more than 4 times too many"
    )
    assert said.remedy == "`online.replicas: 3`"
    then = tried(right_sized, application(online=online(20)), place("aks"))
    assert then.outcome is Outcome.OK


def test_what_survives_a_zone_keeps_three_however_little_is_asked() -> None:
    quiet = {**online(3, criticality="production"), "demand": {**DEMAND}}
    quiet["demand"] |= {"requests_per_second": 1, "peak_requests_per_second": 2}
    said = right_sized(need(online=quiet), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.OK


def test_without_a_baseline_kubernetes_is_unknown_and_says_what_to_measure() -> None:
    said = right_sized(need(online={"format": "onnx"}), place("kubernetes"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == (
        "there is no baseline: measure one replica and write "
        "`online.demand.replica_requests_per_second`"
    )
    assert right_sized(need(online={"format": "onnx"}), place("azureml-online-endpoint")) is None


def test_too_few_are_not_its_question() -> None:
    assert right_sized(need(online=online(2)), place("aks")) is None


def test_a_few_are_nobodys_mistake_however_little_is_asked() -> None:
    quiet = {**online(3), "demand": {**DEMAND, "requests_per_second": 0.1}}
    quiet["demand"]["peak_requests_per_second"] = 1
    said = right_sized(need(online=quiet), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.OK
