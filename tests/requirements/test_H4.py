"""H4: reliability by criticality: zones and regions. The advisor's half."""

from __future__ import annotations

import pytest

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.domain.workload import Endpoint
from plinth.planning.rules import RULES_OF
from plinth.planning.rules.place import back_in_time, region_survived, zones_survived, zones_there
from tests.catalog.imported import catalog_with
from tests.planning.rules.placed import admitted, application, place

PRODUCTION = application(requirements={"criticality": "production"}, online={"replicas": 2})
CRITICAL = application(requirements={"criticality": "critical"}, online={"replicas": 2})


def test_production_is_accepted_where_a_zone_may_fail() -> None:
    said = zones_survived(needs_of(PRODUCTION)[0], place("aks"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "production: it can go on when a zone fails",
    )


def test_production_is_rejected_on_one_machine() -> None:
    said = zones_survived(needs_of(PRODUCTION)[0], place("local"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "production has to go on when a zone fails; it stops",
    )
    assert said.remedy == "`online.requirements.criticality: test`"
    assert admitted(zones_survived, PRODUCTION, place("local"))


def test_zones_that_nobody_documents_are_unknown() -> None:
    said = zones_survived(needs_of(PRODUCTION)[0], place("azureml-online-endpoint"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.UNKNOWN,
        "production: whether it goes on when a zone fails is not known",
    )


def test_a_region_without_zones_is_rejected_once_its_zones_are_stated() -> None:
    stated = catalog_with("regions", "region,zones", "westeurope,3", "ukwest,1")
    with_zones = zones_there(needs_of(PRODUCTION)[0], place("aks", catalog=stated))
    without = zones_there(needs_of(PRODUCTION)[0], place("aks", "ukwest", catalog=stated))
    unstated = zones_there(needs_of(PRODUCTION)[0], place("aks"))
    assert with_zones is not None
    assert without is not None
    assert unstated is not None
    assert with_zones.reason == "`westeurope` has 3 zones"
    assert (without.outcome, without.reason) == (
        Outcome.NOT_OK,
        "production needs several zones; `ukwest` has 1",
    )
    assert admitted(zones_there, PRODUCTION, place("aks", "ukwest", catalog=stated))
    assert unstated.reason.endswith("is not known; `plinth catalog import` states it")


def test_what_is_critical_is_accepted_with_a_second_region_and_rejected_without() -> None:
    two = region_survived(needs_of(CRITICAL)[0], place("aks", standby="northeurope"))
    one = region_survived(needs_of(CRITICAL)[0], place("aks"))
    assert two is not None
    assert one is not None
    assert two.reason == (
        "`northeurope` takes over when `westeurope` fails (a cluster in each region behind Front "
        "Door or Traffic Manager, built by you)"
    )
    assert (one.outcome, one.reason) == (
        Outcome.NOT_OK,
        "critical has to survive the loss of `westeurope`; no second region may take over",
    )
    assert one.remedy == "`online.requirements.criticality: production`"
    assert admitted(region_survived, CRITICAL, place("aks"))


def test_it_is_asked_of_what_answers_requests() -> None:
    asked = {
        function: any(rule.id == "H4" for rule in rules) for function, rules in RULES_OF.items()
    }
    assert asked == {
        "explore": False,
        "train": False,
        "batch": False,
        "online": True,
        "flow": True,
    }


SOON = application(requirements={"rto": "10m"}, online={"replicas": 2})
LATER = application(requirements={"rto": "4h"}, online={"replicas": 2})


def test_back_within_minutes_needs_a_second_region() -> None:
    said = back_in_time(needs_of(SOON)[0], place("aks", standby="northeurope"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "back within 10 min: `northeurope` takes over when `westeurope` fails",
    )
    alone = back_in_time(needs_of(SOON)[0], place("aks"))
    assert alone is not None
    assert (alone.outcome, alone.reason) == (
        Outcome.NOT_OK,
        "back within 10 min is asked for; when `westeurope` fails, no second region takes over",
    )
    assert admitted(back_in_time, SOON, place("aks"))


@pytest.mark.parametrize("rto", ["1m", "1h", "4h"])
def test_one_machine_is_never_back_by_itself(rto: str) -> None:
    endpoint = Endpoint.model_validate(
        {"kind": "endpoint", "name": "e", "model": "models:/m/1", "requirements": {"rto": rto}}
    )
    said = back_in_time(needs_of(endpoint)[0], place("local", "local"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason.endswith("is asked for; this is one machine, and nothing takes over")
    assert said.remedy == "`requirements.rto: null`"


def test_back_within_hours_needs_several_zones() -> None:
    stated = catalog_with("regions", "region,zones", "westeurope,3", "ukwest,1")
    said = back_in_time(needs_of(LATER)[0], place("aks", catalog=stated))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "back within 4 h: it can go on in another of the 3 zones of `westeurope`",
    )
    unclear = back_in_time(needs_of(LATER)[0], place("azureml-online-endpoint"))
    assert unclear is not None
    assert unclear.outcome is Outcome.UNKNOWN
    assert "`regions.zone_redundant` is missing in platforms/azureml-online-endpoint.yaml" in (
        unclear.reason
    )
    at = place("aks", "ukwest", catalog=stated)
    one = back_in_time(needs_of(LATER)[0], at)
    assert one is not None
    assert one.reason == (
        "back within 4 h is asked for; it needs several zones, and `ukwest` has 1"
    )
    assert admitted(back_in_time, LATER, at)
    unstated = back_in_time(needs_of(LATER)[0], place("aks"))
    assert unstated is not None
    assert unstated.outcome is Outcome.UNKNOWN


def test_without_a_recovery_time_it_is_no_question() -> None:
    assert back_in_time(needs_of(PRODUCTION)[0], place("local", "local")) is None


def test_a_batch_that_has_to_be_back_is_asked_too() -> None:
    batch = application("batch", requirements={"rto": "10m"}, batch={"format": "onnx"})
    (need,) = needs_of(batch)
    said = back_in_time(need, place("local", "local"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    stated = catalog_with("regions", "region,zones", "westeurope,3")
    zones = back_in_time(need, place("aks", catalog=stated))
    assert zones is not None
    assert zones.outcome is Outcome.OK


def test_critical_is_asked_for_zones_as_production_is() -> None:
    (need,) = needs_of(CRITICAL)
    said = zones_survived(need, place("aks"))
    assert said is not None
    assert said.reason == "critical: it can go on when a zone fails"
    there = zones_there(need, place("aks"))
    assert there is not None
    one = zones_survived(need, place("local"))
    assert one is not None
    assert one.reason == "critical has to go on when a zone fails; it stops"
    assert admitted(zones_survived, CRITICAL, place("local"))
