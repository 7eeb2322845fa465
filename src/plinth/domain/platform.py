"""A configured place where workloads can run, what it supports, and what it can give."""

from __future__ import annotations

from decimal import Decimal

from plinth.domain.base import Declared
from plinth.domain.resources import Accelerator


class Capability(Declared):
    """What a platform supports, as data: rules read it, people are shown it. None: unknown.

    `functions` are those of `planning.rules`; `networks` the kinds of a job's network that it can
    hold a job to; `interruptible`: it may take its capacity back at any time.
    """

    functions: tuple[str, ...]
    isolation: int | None = None
    scale_to_zero: bool | None = None
    interruptible: bool | None = None
    networks: tuple[str, ...] | None = None
    accelerators: tuple[Accelerator, ...] = ()


class Offer(Declared):
    """A size that a platform can give in a region, at a price for each hour.

    `cpu` in cores, `memory` in bytes. `price_per_hour` None: unknown, which is not free.
    `count`: how many of it there are; None: as many as are asked for, as far as is known.
    """

    sku: str
    region: str
    cpu: float
    memory: int
    price_per_hour: Decimal | None = None
    currency: str = "EUR"
    count: int | None = None


class Platform(Declared):
    """A named place with its capabilities and its offers."""

    name: str
    description: str
    capability: Capability
    offers: tuple[Offer, ...]
    source: str
