"""H19a: on Kubernetes, a node pool apart from other workloads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from plinth.domain.plan import Outcome, Verdict
from plinth.planning.context import Placement
from plinth.planning.rules.online import nodes_apart
from tests.planning.rules.placed import GIB, application, need, owning, place, tried

CLUSTER: dict[str, Any] = {"region": "westeurope", "cpu": 4, "memory": 16 * GIB}
# Four of 1 core fit on a machine of 4.
PRODUCTION = {"requirements": {"criticality": "production"}}


def cluster(machines: int) -> Placement:
    """Return an offer of a Kubernetes cluster of one's own with this many machines of 4 cores."""
    there = place("kubernetes", tier="own-hardware")
    offer = there.offer.model_copy(update={"count": machines})
    return owning(replace(there, offer=offer), "kubernetes", count=machines, **CLUSTER)


def judged(placement: Placement, part: str = "online", **fields: Any) -> Verdict:
    said = nodes_apart(need(part=part, **{part: fields}), placement)
    assert said is not None
    return said


def test_a_pool_can_be_added_to_a_managed_cluster() -> None:
    said = judged(place("aks"), **PRODUCTION)
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "a node pool of its own keeps others out: a taint on its nodes, a toleration and a node "
        "affinity on its pods"
    )


def test_a_cluster_of_ones_own_with_machines_to_spare_is_accepted() -> None:
    said = judged(cluster(3), replicas=8, **PRODUCTION)
    assert said.outcome is Outcome.OK
    assert said.reason.startswith("2 of 3 machines make a node pool of its own")


def test_a_cluster_that_would_be_filled_is_rejected_with_what_leaves_a_machine() -> None:
    said = judged(cluster(3), replicas=12, **PRODUCTION)
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "`production` needs a node pool of its own, 3 of the cluster's 3 machines; none is left "
        "for other workloads"
    )
    assert said.remedy == "`online.replicas: 8`"
    whole = application(online={"replicas": 12, **PRODUCTION})
    assert tried(nodes_apart, whole, cluster(3)).outcome is Outcome.OK


@pytest.mark.parametrize("part", ["online", "batch", "train", "flow"])
def test_a_cluster_of_one_machine_needs_another(part: str) -> None:
    said = judged(cluster(1), part, **PRODUCTION)
    assert said.outcome is Outcome.NOT_OK
    assert said.change is not None
    assert said.change.of_inventory
    whole = application(part, **{part: PRODUCTION})
    assert tried(nodes_apart, whole, cluster(1), part).outcome is Outcome.OK


def test_what_is_no_production_may_share_nodes() -> None:
    assert judged(cluster(1), requirements={"criticality": "dev"}).outcome is Outcome.OK
    assert judged(cluster(1)).outcome is Outcome.OK


def test_elsewhere_there_are_no_node_pools() -> None:
    assert nodes_apart(need(online=PRODUCTION), place("azureml-online-endpoint")) is None
