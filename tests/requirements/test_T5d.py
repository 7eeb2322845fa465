"""T5d: compute clusters for parallel and distributed training.

The advice: a run that spans machines goes where one may. The running half (workers that start
together, minimum and maximum nodes) is not here yet.
"""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.train import spans_machines
from tests.planning.rules.placed import application, apply, need, place, with_facts

WIDE = {"train": {"nodes": 4}}


def test_a_cluster_takes_a_run_of_several_machines() -> None:
    said = spans_machines(need(part="train", **WIDE), place("azureml-compute-cluster"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "one run needs 4 machines, and may span several",
    )


@pytest.mark.parametrize("name", ["azureml-compute-instance", "data-science-vm", "local"])
def test_a_single_machine_is_rejected_until_the_run_needs_one(name: str) -> None:
    said = spans_machines(need(part="train", **WIDE), place(name))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "one run needs 4 machines; a run there has one",
    )
    assert str(said.change) == "train.nodes: 1"
    assert said.change is not None
    changed = apply(application("train", **WIDE), said.change, "train")
    assert changed.instances == 1
    assert spans_machines(changed, place(name)) is None


def test_where_the_fact_is_missing_it_says_so() -> None:
    unclear = with_facts(place("aks"), compute={"distributed": None})
    said = spans_machines(need(part="train", **WIDE), unclear)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "`compute.distributed` is missing in platforms/aks.yaml" in said.reason


def test_a_run_on_one_machine_asks_nothing() -> None:
    assert spans_machines(need(part="train", train={}), place("local")) is None
