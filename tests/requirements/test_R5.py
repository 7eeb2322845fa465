"""R5: related resources in the same region: what is elsewhere is named, with latency and cost.

The advisor's half: what a plan says of a place and the data that is read there.
"""

from __future__ import annotations

from typing import Any

from plinth.domain.application import Application
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.rules.place import near_data
from tests.planning.rules.placed import admitted, application, place


def trained(region: str | None, **requirements: Any) -> Application:
    data = {"size": "100GB"} | ({} if region is None else {"region": region})
    return application(
        "train",
        data={"orders": data},
        requirements=requirements,
        train={"data": ["orders"], "demand": {"runs": 4}},
    )


def test_a_place_beside_its_data_is_accepted() -> None:
    (wanted,) = needs_of(trained("westeurope", same_region=True))
    said = near_data(wanted, place("azureml-compute-cluster", "westeurope"))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "its data lies in `westeurope` too")


def test_a_place_elsewhere_is_rejected_where_the_same_region_is_required() -> None:
    whole = trained("northeurope", same_region=True)
    at = place("azureml-compute-cluster", "westeurope")
    said = near_data(needs_of(whole)[0], at)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "it must stand where its data lies; `orders` lies in `northeurope`, 756 km away, by "
        "estimate 8 ms one way; 400.0 GB move in a month, 8.00 USD",
    )
    assert admitted(near_data, whole, at, "train")


def test_elsewhere_is_told_with_latency_and_cost_where_it_is_allowed() -> None:
    said = near_data(needs_of(trained("eastus"))[0], place("azureml-compute-cluster", "westeurope"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "`orders` lies in `eastus`, 6,483 km away, by estimate 65 ms one way; "
        "400.0 GB move in a month, 8.00 USD"
    )


def test_data_of_an_unknown_place_is_unknown_where_it_matters() -> None:
    at = place("azureml-compute-cluster", "westeurope")
    said = near_data(needs_of(trained(None, same_region=True))[0], at)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "`data.orders.region` is not stated" in said.reason
    assert near_data(needs_of(trained(None))[0], at) is None
