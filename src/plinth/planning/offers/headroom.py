"""How much of each limit is reachable, against what the peak needs (R4).

Quotas belong to a subscription: what nobody stated is unknown, not unlimited.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from plinth.catalog.catalog import Catalog
from plinth.catalog.machine import LOCAL
from plinth.catalog.quotas import Quota, QuotaKind
from plinth.domain.application import BatchDemand, OnlineDemand, TrainDemand
from plinth.domain.need import Need
from plinth.domain.plan import Headroom
from plinth.domain.platform import Offer, Platform

HOW = "unknown; `plinth catalog import` (kind: quotas) states it"
_MINUTE_S = 60
# Limits of platforms that count the offers of one deployment, cluster or run.
_OF_COUNT = frozenset({"instances of a deployment", "nodes of a cluster", "nodes"})
# This one counts those of one run, however many runs go on at once.
_OF_RUN = "nodes of a parallel run"


def headroom(
    need: Need, offer: Offer, count: int, catalog: Catalog, platform: Platform | None = None
) -> tuple[Headroom, ...]:
    """Return each limit that the offer meets: what the peak needs of it, and what is left.

    With the platform, its own limits too: those that count machines, requests, or rows of a batch.
    A thing of one's own has as many machines as were named.
    """
    found = list(_of_platform(need, offer, count, platform)) if platform is not None else []
    if offer.tier == "own-hardware":
        return (_own(offer, count), *found)
    if offer.model is not None:
        return (*_of_model(need, offer, count, catalog), *found)
    return (*_of_machines(offer, count, catalog), *_of_places(need, offer, count, catalog), *found)


def _own(offer: Offer, count: int) -> Headroom:
    source = "plinth inventory" if offer.count else "unknown; `plinth inventory add` states `count`"
    if offer.region == LOCAL:
        source = "this machine"
    return Headroom(
        what=f"machines of `{offer.sku}`",
        needed=count,
        reachable=offer.count,
        unit="machines",
        source=source,
    )


def _of_machines(offer: Offer, count: int, catalog: Catalog) -> Iterator[Headroom]:
    is_spot, is_size = offer.tier == "spot", offer.sku in catalog.skus
    series = catalog.skus.find(offer.sku).series if is_size else ""
    # What is given as large as is asked for has no machines of a subscription's.
    if is_size:
        kind = QuotaKind.SPOT_CPU if is_spot else QuotaKind.CPU
        found = [catalog.quotas.find(kind, offer.region, of) for of in (series, "")]
        what = "spot processors" if is_spot else f"processors of {series or 'all series'}"
        yield _least(what, offer.cpu * count, "processors", found)
    if offer.accelerator is not None:
        wanted = offer.accelerator
        found = [
            catalog.quotas.find(QuotaKind.ACCELERATORS, offer.region, of)
            for of in (wanted.kind, "")
        ]
        yield _least(wanted.kind, wanted.count * count, "accelerators", found)


def _of_places(need: Need, offer: Offer, count: int, catalog: Catalog) -> Iterator[Headroom]:
    """Yield endpoints or nodes, only where a quota of them was stated."""
    serves = need.function in ("online", "flow")
    kind, needed = (QuotaKind.ENDPOINTS, 1) if serves else (QuotaKind.NODES, count)
    quota = catalog.quotas.find(kind, offer.region)
    if quota is not None:
        yield _least(kind.value, needed, kind.value, [quota])


def _of_model(need: Need, offer: Offer, count: int, catalog: Catalog) -> Iterator[Headroom]:
    model = offer.model or ""

    def stated(kind: QuotaKind) -> list[Quota | None]:
        return [catalog.quotas.find(kind, offer.region, of) for of in (model, "")]

    if offer.tier in ("provisioned", "reserved"):
        yield _least(f"units for {model}", count, "units", stated(QuotaKind.PROVISIONED_UNITS))
        return
    demand = need.demand
    if not isinstance(demand, OnlineDemand):
        return
    peak = Decimal(str(demand.peak)) * _MINUTE_S
    yield _least(
        f"requests to {model}",
        float(peak),
        "requests a minute",
        stated(QuotaKind.REQUESTS_PER_MINUTE),
    )
    if demand.input_tokens is not None and demand.output_tokens is not None:
        yield _least(
            f"tokens of {model}",
            float(peak * (demand.input_tokens + demand.output_tokens)),
            "tokens a minute",
            stated(QuotaKind.TOKENS_PER_MINUTE),
        )


def _of_platform(
    need: Need, offer: Offer, count: int, platform: Platform | None
) -> Iterator[Headroom]:
    if platform is None:
        return
    limits = platform.capability.limits
    demand = need.demand
    for limit in limits.items or ():
        needed: float | None = None
        # People have a machine each: a limit of one machine's nodes is none of theirs together.
        if limit.name == _OF_RUN and isinstance(demand, TrainDemand | BatchDemand):
            needed = need.instances
        elif limit.name in _OF_COUNT and offer.model is None and need.function != "explore":
            needed = count
        elif limit.name == "requests of an endpoint" and isinstance(demand, OnlineDemand):
            needed = demand.peak
        elif limit.name == "requests of a file" and isinstance(demand, BatchDemand):
            needed = demand.rows
        if needed is not None:
            source = f"{limits.source}; can be raised" if limit.raisable else limits.source or ""
            yield Headroom(
                what=limit.name,
                needed=needed,
                reachable=limit.value,
                unit=limit.unit,
                source=source,
            )


def _least(what: str, needed: float, unit: str, quotas: list[Quota | None]) -> Headroom:
    """Return the tightest of the quotas that were stated."""
    stated = [quota for quota in quotas if quota is not None]
    if not stated:
        return Headroom(what=what, needed=needed, reachable=None, unit=unit, source=HOW)
    known = [quota for quota in stated if quota.left is not None or quota.limit < needed]
    if not known:
        tight = min(stated, key=lambda quota: quota.limit)
        source = (
            f"the quota is {tight.limit:,}, and how much of it is used nobody said "
            f"(`used`, {tight.source})"
        )
        return Headroom(what=what, needed=needed, reachable=None, unit=unit, source=source)
    tight = min(known, key=_left)
    return Headroom(
        what=what, needed=needed, reachable=_left(tight), unit=unit, source=str(tight.source)
    )


def _left(quota: Quota) -> int:
    # Where the use is not known, no more than the whole is left.
    return quota.limit if quota.left is None else quota.left
