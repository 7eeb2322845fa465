from decimal import Decimal

import pytest

from plinth.domain.platform import Offer
from plinth.domain.workload import WORKLOAD
from plinth.planning.score import cost_per_hour, headroom

JOB = WORKLOAD.validate_python(
    {"kind": "job", "name": "a", "command": ["a"], "resources": {"cpu": 2, "memory": "4GB"}}
)
ENDPOINT = WORKLOAD.validate_python(
    {"kind": "endpoint", "name": "a", "model": "models:/a/1", "replicas": 3}
)


def offer(price: str | None) -> Offer:
    return Offer(
        sku="a",
        region="b",
        cpu=8,
        memory=8_000_000_000,
        price_per_hour=None if price is None else Decimal(price),
    )


def test_headroom_is_that_of_the_scarcer_resource():
    assert headroom(JOB, offer(None)) == pytest.approx(2.0)


def test_the_cost_counts_every_replica_exactly():
    assert cost_per_hour(JOB, offer("0.10")) == Decimal("0.10")
    assert cost_per_hour(ENDPOINT, offer("0.10")) == Decimal("0.30")


def test_an_unknown_price_is_not_free():
    assert cost_per_hour(ENDPOINT, offer(None)) is None
