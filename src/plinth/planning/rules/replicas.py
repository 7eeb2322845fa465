"""How many replicas a peak needs, and how many of them one instance of an offer holds."""

from __future__ import annotations

import math

from plinth.domain.application import OnlineDemand
from plinth.domain.need import Need
from plinth.domain.platform import Offer


def replicas_at_peak(need: Need) -> int:
    """Return how many replicas the peak needs, as one was measured; 0: nobody measured."""
    demand = need.demand
    if not isinstance(demand, OnlineDemand) or demand.replica_requests_per_second is None:
        return 0
    rate = demand.replica_requests_per_second
    enough = math.ceil(demand.peak / rate)
    # The quotient may be rounded down to a number that is not quite enough.
    return enough + (enough * rate < demand.peak)


def per_instance(need: Need, offer: Offer) -> int:
    """Return how many replicas one instance holds; 1 where not even one is known to fit."""
    needed = need.resources
    # Where not even one fits, other rules say so; made to fit, it would fill the instance.
    # The small addend: 0.3 cores hold three times 0.1, though their quotient is below 3.
    return max(1, min(int(offer.cpu / needed.cpu + 1e-9), offer.memory // needed.memory))
