"""T0a: performance before reliability, unless high availability is asked for."""

from __future__ import annotations

from plinth.domain.plan import Outcome
from plinth.planning.rules.train import region_survived, zones_survived
from tests.planning.rules.placed import admitted, application, need, place

RTO = {"requirements": {"rto": "4h"}}
CRITICAL = {"requirements": {"criticality": "critical"}}


def test_without_a_recovery_time_performance_goes_first() -> None:
    said = zones_survived(need(part="train", train={}), place("azureml-compute-cluster"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "performance before reliability: no recovery time is asked for",
    )


def test_a_platform_that_stands_in_several_zones_is_accepted() -> None:
    said = zones_survived(need(part="train", train={}, **RTO), place("aks"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "back within 4 h after a zone is lost is asked for; it can stand in several zones",
    )


def test_one_machine_is_rejected_until_the_recovery_time_is_given_up() -> None:
    local = place("local", "local")
    said = zones_survived(need(part="train", train={}, **RTO), local)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert "nothing trains until that is back" in said.reason
    assert str(said.change) == "train.requirements.rto: null"
    whole = application("train", train={}, **RTO)
    assert admitted(zones_survived, whole, local, "train")


def test_where_nobody_knows_of_zones_it_says_so() -> None:
    said = zones_survived(need(part="train", train={}, **RTO), place("databricks-jobs"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "`regions.zone_redundant` is missing in platforms/databricks-jobs.yaml" in said.reason


def test_critical_training_is_told_how_the_platform_spans_regions() -> None:
    said = region_survived(need(part="train", train={}, **CRITICAL), place("databricks-jobs"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert "a workspace in each region with jobs and code deployed to both" in said.reason


def test_critical_training_is_not_put_on_one_machine() -> None:
    local = place("local", "local")
    said = region_survived(need(part="train", train={}, **CRITICAL), local)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason.endswith("survive the loss of a region; this is one machine")
    assert said.change is not None
    assert str(said.change) == "train.requirements.criticality: production"


def test_how_a_platform_spans_regions_may_be_unknown() -> None:
    said = region_survived(need(part="train", train={}, **CRITICAL), place("ray"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "`regions.multi_region` is missing in platforms/ray.yaml" in said.reason
