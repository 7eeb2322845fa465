"""What a rule sees beside the need: the place it is judged against, and what else holds.

Whoever plans gives the Context and the catalog; the planner makes a Placement for each offer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from plinth.catalog.catalog import Catalog
from plinth.domain.application import Weights
from plinth.domain.base import Declared
from plinth.domain.inventory import Inventory
from plinth.domain.plan import MonthCost
from plinth.domain.platform import Offer, Platform


class Context(Declared):
    """What holds for whoever asks. Rules read it; nothing else reaches them, not even the time.

    `allowed_regions`: where the team may run anything; empty allows every region.
    `currency`: the only one whose prices are compared where no exchange rate is known.
    `known_platforms`: names of those that exist, also where nothing can be run there yet.
    `startable`: names of those that Plinth itself can start something on today.
    `inventory`: what the organisation owns. `today`: for what ends on a day; None: nobody said.
    """

    allowed_regions: tuple[str, ...] = ()
    currency: str = "EUR"
    known_platforms: tuple[str, ...] = ()
    startable: tuple[str, ...] = ("local",)
    inventory: Inventory = Inventory()
    weights: Weights = Weights()
    today: date | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """One offer of one platform that a need may be put on, seen by whoever asks.

    `count`: how many of the offer. `cost`: of a month, None where it was not reckoned, as before
    a start on this machine. `catalog` is read only where a rule asks it.
    """

    platform: Platform
    offer: Offer
    context: Context
    catalog: Catalog = field(default_factory=Catalog)
    count: int = 1
    cost: MonthCost | None = None


@dataclass(frozen=True, slots=True)
class Market:
    """Everything that a plan may choose from, for whoever asks.

    `platforms`: every one that is known, in any order. `local`: what this machine offers.
    """

    platforms: tuple[Platform, ...]
    catalog: Catalog
    context: Context
    local: tuple[Offer, ...] = ()
