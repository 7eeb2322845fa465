"""What is owned: what is left out is unknown, and what makes no sense is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from plinth.domain.inventory import Inventory, Owned

HERE = Owned(name="here", platform="kubernetes", region="westeurope")
THERE = Owned(name="there", platform="kubernetes", region="eastus")
SOMEWHERE = Owned(name="somewhere", platform="kubernetes")


def test_what_is_left_out_is_unknown() -> None:
    owned = Owned(name="aks", platform="aks")
    assert {name for name, value in owned if value is not None} == {"name", "platform", "currency"}


def test_a_platform_stands_where_the_first_of_it_does_that_says_so() -> None:
    inventory = Inventory(owned=(SOMEWHERE, THERE, HERE))
    assert inventory.of("kubernetes") == (SOMEWHERE, THERE, HERE)
    assert inventory.of("aks") == ()
    assert inventory.region_of("kubernetes") == "eastus"
    assert Inventory(owned=(SOMEWHERE,)).region_of("kubernetes") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Our cluster"),
        ("cpu", float("nan")),
        ("cpu", 0),
        ("memory", -1),
        ("count", 0),
        ("count", True),
        ("price_per_hour", "NaN"),
        ("committed", -1),
        ("units", 10**9),
        ("currency", "euro"),
        ("colour", "red"),
    ],
)
def test_what_makes_no_sense_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Owned.model_validate({"name": "a", "platform": "aks", field: value})
