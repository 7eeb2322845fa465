"""What a rule sees beside the workload: the place it is judged against, and what else holds.

Whoever plans gives the Context; the planner makes a Placement of it for each offer.
"""

from __future__ import annotations

from dataclasses import dataclass

from plinth.domain.base import Declared
from plinth.domain.platform import Offer, Platform


class Context(Declared):
    """What holds for whoever asks. Rules read it; nothing else reaches them, not even the time.

    `allowed_regions`: where the team may run anything; empty allows every region.
    `currency`: the only one whose prices are compared, since no exchange rate is known.
    `known_platforms`: names of those that exist, also where nothing can be run there yet.
    """

    allowed_regions: tuple[str, ...] = ()
    currency: str = "EUR"
    known_platforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """One size of one platform that a workload may be put on, seen by whoever asks."""

    platform: Platform
    offer: Offer
    context: Context
