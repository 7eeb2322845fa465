"""The second region is the pair where it is allowed, else the nearest."""

from __future__ import annotations

import pytest

from plinth.catalog.catalog import Catalog
from plinth.domain.application import Application
from plinth.domain.need import Need, needs_of
from plinth.planning.standby import choose_standby, needs_standby

CATALOG = Catalog()


def need(part: str, **requirements: object) -> Need:
    declared = {
        "kind": "application",
        "name": "app",
        part: {"requirements": requirements},
    }
    return needs_of(Application.model_validate(declared))[0]


@pytest.mark.parametrize(
    ("requirements", "stands_by"),
    [
        ({}, False),
        ({"criticality": "production"}, False),
        ({"criticality": "critical"}, True),
        ({"rto": "1h"}, True),
        ({"rto": "61m"}, False),
    ],
)
def test_what_is_critical_or_back_within_an_hour_has_a_second_region(
    requirements: dict[str, object], stands_by: bool
) -> None:
    assert needs_standby(need("online", **requirements)) is stands_by
    assert needs_standby(need("flow", **requirements)) is stands_by
    assert not needs_standby(need("train", **requirements))


def test_the_pair_comes_first_then_the_nearest() -> None:
    eu = CATALOG.regions.groups["eu"]
    assert choose_standby(CATALOG, "westeurope", eu) == "northeurope"
    nearest = choose_standby(CATALOG, "westeurope", ["westeurope", "swedencentral", "eastus"])
    assert nearest == "swedencentral"


def test_without_another_region_nothing_stands_by() -> None:
    assert choose_standby(CATALOG, "westeurope", ["westeurope"]) is None
    assert choose_standby(CATALOG, "local", ["westeurope"]) is None
