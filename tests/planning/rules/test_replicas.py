"""How many replicas a peak needs, and how many fit into one instance."""

from __future__ import annotations

from plinth.planning.rules.replicas import per_instance, replicas_at_peak
from tests.planning.rules.placed import GIB, need, place


def test_a_peak_is_divided_by_what_one_replica_was_measured_to_answer() -> None:
    demand = {"requests_per_second": 10, "replica_requests_per_second": 12}
    assert replicas_at_peak(need(online={"demand": demand})) == 3


def test_what_is_rounded_down_is_still_enough() -> None:
    demand = {"peak_requests_per_second": 4.9, "replica_requests_per_second": 0.7}
    count = replicas_at_peak(need(online={"demand": demand}))
    assert count * 0.7 >= 4.9
    assert count <= 8


def test_where_nobody_measured_no_number_is_made_up() -> None:
    assert replicas_at_peak(need()) == 0
    assert replicas_at_peak(need(part="train")) == 0


def test_an_instance_holds_as_many_as_its_cores_and_memory() -> None:
    offer = place("aks", cpu=4, memory=16 * GIB).offer
    small = need(online={"resources": {"cpu": 0.1, "memory": "4GiB"}})
    assert per_instance(small, offer) == 4
    assert per_instance(need(online={"resources": {"cpu": 64}}), offer) == 1
    third = place("aks", cpu=0.3, memory=16 * GIB).offer
    assert per_instance(need(online={"resources": {"cpu": 0.1}}), third) == 3
