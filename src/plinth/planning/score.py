"""Which feasible candidate is best: an order that can be read off, without weights.

1. A known price comes before an unknown one: what is not known may be anything.
2. The lower price an hour for all replicas.
3. Fewer unknown verdicts.
4. More room: the smaller of what is left of cores and of memory, in multiples of what is needed.
5. Platform, region and size by name, so that equal candidates have one order everywhere.

Prices in another currency than the context's count as unknown here, since no rate is known.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias

from plinth.domain.plan import Candidate, Outcome
from plinth.domain.platform import Offer
from plinth.domain.workload import Workload
from plinth.planning.context import Context

Score: TypeAlias = tuple[bool, Decimal, int, float, str, str, str]


def score(candidate: Candidate, workload: Workload, context: Context) -> Score:
    """Return what candidates are ordered by; the smallest is the best."""
    price = candidate.cost_per_hour
    if candidate.offer.currency != context.currency:
        price = None
    unknowns = sum(verdict.outcome is Outcome.UNKNOWN for verdict in candidate.verdicts)
    return (
        price is None,
        price if price is not None else Decimal(0),
        unknowns,
        -headroom(workload, candidate.offer),
        candidate.platform,
        candidate.offer.region,
        candidate.offer.sku,
    )


def headroom(workload: Workload, offer: Offer) -> float:
    """Return how many times the scarcer of cores and memory holds what one replica needs."""
    needed = workload.resources
    return min(offer.cpu / needed.cpu, offer.memory / needed.memory)


def cost_per_hour(workload: Workload, offer: Offer) -> Decimal | None:
    """Return the price of all replicas in the offer's currency, or None where it is not known.

    Each replica pays for a whole instance: that several share one is not assumed.
    """
    if offer.price_per_hour is None:
        return None
    replicas = workload.instances
    return offer.price_per_hour * replicas
