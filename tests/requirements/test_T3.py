"""T3: mix existing technology step by step; data goes from one to the other by version."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.train import data_handed_over
from tests.planning.rules.placed import admitted, application, need, place


def kept(platform: str, **requirements: object) -> dict[str, object]:
    return {
        "train": {"data": ["sales"], "requirements": requirements},
        "data": {"sales": {"size": "50GB", "region": "westeurope", "platform": platform}},
    }


def test_a_step_elsewhere_reads_the_data_of_databricks_by_version() -> None:
    said = data_handed_over(
        need(part="train", **kept("databricks-jobs")), place("azureml-compute-cluster")
    )
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "`sales` on `databricks-jobs`: read from there by version, as files"


def test_a_step_where_the_data_is_moves_nothing() -> None:
    said = data_handed_over(need(part="train", **kept("databricks-jobs")), place("databricks-jobs"))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "`sales`: on it already")


@pytest.mark.parametrize("name", ["azureml-compute-cluster", "databricks-jobs"])
def test_data_on_one_machine_is_rejected_until_it_is_copied(name: str) -> None:
    asked = kept("local")
    said = data_handed_over(need(part="train", **asked), place(name))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert "one machine that other platforms cannot read: copy it first" in said.reason
    assert str(said.change) == f"data.sales.platform: {name}"
    whole = application("train", **asked)
    assert admitted(data_handed_over, whole, place(name), "train")


def test_private_data_needs_a_private_address() -> None:
    asked = kept("databricks-jobs", private_network=True)
    said = data_handed_over(need(part="train", **asked), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.OK
    unclear = kept("ray", private_network=True)
    said = data_handed_over(need(part="train", **unclear), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == "whether `ray` has a private address is not known"


def test_of_data_that_lies_nowhere_nothing_is_said() -> None:
    asked = {"train": {"data": ["sales"]}, "data": {"sales": {"size": "1GB"}}}
    assert data_handed_over(need(part="train", **asked), place("aks")) is None
