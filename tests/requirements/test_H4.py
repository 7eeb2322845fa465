"""H4: reliability by criticality: zones and regions. The advisor's half."""

from __future__ import annotations

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.rules import RULES_OF
from plinth.planning.rules.place import region_survived, zones_survived, zones_there
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
