"""Quotas: whether what the peak needs is left of what the organisation may use in a region."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from plinth.catalog.machine import LOCAL
from plinth.catalog.quotas import Quota, QuotaKind, Quotas
from plinth.catalog.skus import Skus
from plinth.domain.application import OnlineDemand
from plinth.domain.need import Need
from plinth.domain.plan import Change, Outcome, Verdict
from plinth.planning.context import Placement
from plinth.planning.rules.basic import taken_back_at_any_time
from plinth.planning.rules.rule import Pillar, Rule, Scope, not_ok, ok, unknown

# From this share of a limit on, the guidance wants an alarm.
_ALARM = 0.8
_OWN = "own-hardware"
_BOUGHT_AHEAD = ("provisioned", "reserved")
_UNITS = {
    QuotaKind.CPU: "cores",
    QuotaKind.SPOT_CPU: "spot cores",
    QuotaKind.ACCELERATORS: "accelerators",
    QuotaKind.TOKENS_PER_MINUTE: "tokens a minute",
    QuotaKind.REQUESTS_PER_MINUTE: "requests a minute",
    QuotaKind.PROVISIONED_UNITS: "provisioned units",
    QuotaKind.ENDPOINTS: "endpoints",
    QuotaKind.NODES: "nodes",
}
_HOW = "`plinth catalog import` states it"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the peak needs of one kind. `each`: of one instance; 0: their number does not matter.

    `of`: the names that its quota may have; empty: that of all together. `needs_quota`: it is
    unknown, not fine, where nobody stated one.
    """

    kind: QuotaKind
    of: tuple[str, ...]
    needed: float
    each: float = 0
    needs_quota: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """What is asked, against one quota that was stated."""

    asked: Asked
    quota: Quota

    @property
    def left(self) -> int:
        """What is left, the whole limit where nobody said how much is used."""
        return self.quota.limit if self.quota.left is None else self.quota.left

    @property
    def fits(self) -> bool:
        """Tell whether the peak fits into what is left."""
        return self.asked.needed <= self.left

    @property
    def share(self) -> float:
        """The share of the limit that would be used."""
        used = self.quota.used or 0
        return (used + self.asked.needed) / self.quota.limit if self.quota.limit else math.inf

    def __str__(self) -> str:
        """Write both sides: `needs 8 cores, 60 of 100 are left (Dsv5)`."""
        unit = _UNITS[self.quota.kind]
        named = f" ({self.quota.of})" if self.quota.of else ""
        limit = f"{self.left:,} of {self.quota.limit:,} are left"
        return f"needs {_number(self.asked.needed)} {unit}, {limit}{named}"


def quotas_suffice(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the region's quotas hold what the peak needs, and those of a second region."""
    if _is_own(placement):
        return None
    here = _judged(need, placement)
    standby = placement.offer.standby
    if standby is None:
        return here
    # Whoever takes over needs as much there.
    second = placement.offer.model_copy(update={"region": standby, "standby": None})
    there = _judged(need, replace(placement, offer=second))
    if there is None or there.outcome is Outcome.OK:
        return here
    if here is not None and here.outcome is Outcome.NOT_OK:
        # Fewer instances here leave it open whether the second region has enough.
        return here.model_copy(update={"change": None, "remedy": None})
    if here is not None and here.outcome is there.outcome:
        return here
    reason = f"in the second region `{standby}`: {there.reason}"
    return there.model_copy(update={"reason": reason})


def _judged(need: Need, placement: Placement) -> Verdict | None:
    region = placement.offer.region
    quotas = placement.catalog.quotas
    if next(iter(quotas), None) is None:
        return _nobody_stated(region)
    asked = list(asked_of(need, placement))
    held = [each for one in asked for each in _held(quotas, one, region)]
    broken = [each for each in held if not each.fits]
    if broken:
        worst = max(broken, key=lambda each: each.share)
        # Where something else is open, fewer instances alone do not make it fit for sure.
        is_sure = _open(asked, held, region) is None
        return not_ok("R4", str(worst), _fewer(need, placement, broken) if is_sure else None)
    return _open(asked, held, region) or _tightest(held)


def asked_of(need: Need, placement: Placement) -> Iterator[Asked]:
    """Return what of each quota the peak of a placement needs."""
    if placement.offer.model is not None:
        yield from _of_model(need, placement)
    elif placement.offer.cpu > 0:
        yield from _of_machines(need, placement)


def _of_model(need: Need, placement: Placement) -> Iterator[Asked]:
    offer, demand = placement.offer, need.demand
    model = (offer.model or "", "")
    if offer.tier in _BOUGHT_AHEAD:
        yield Asked(QuotaKind.PROVISIONED_UNITS, model, placement.count)
    elif isinstance(demand, OnlineDemand):
        minute = demand.peak * 60
        tokens = (demand.input_tokens or 0) + (demand.output_tokens or 0)
        # Where tokens are counted, requests are limited too, but seldom stated.
        yield Asked(QuotaKind.REQUESTS_PER_MINUTE, model, minute, needs_quota=not tokens)
        if tokens:
            yield Asked(QuotaKind.TOKENS_PER_MINUTE, model, minute * tokens)


def _of_machines(need: Need, placement: Placement) -> Iterator[Asked]:
    offer, count = placement.offer, placement.count
    is_spot = taken_back_at_any_time(placement) and offer.tier == "spot"
    kind = QuotaKind.SPOT_CPU if is_spot else QuotaKind.CPU
    series = _series(placement.catalog.skus, offer.sku)
    yield Asked(kind, ("",) if series is None else (series, ""), offer.cpu * count, offer.cpu)
    if offer.accelerator is not None:
        each = offer.accelerator.count
        yield Asked(QuotaKind.ACCELERATORS, (offer.accelerator.kind, ""), each * count, each)
    yield Asked(QuotaKind.NODES, ("",), count, 1, needs_quota=False)
    if need.function in ("online", "flow"):
        yield Asked(QuotaKind.ENDPOINTS, ("",), 1, needs_quota=False)


def _is_own(placement: Placement) -> bool:
    offer = placement.offer
    if offer.region == LOCAL or offer.tier == _OWN:
        return True
    return placement.platform.capability.supply.tiers == (_OWN,)


def _held(quotas: Quotas, asked: Asked, region: str) -> list[Held]:
    found = (quotas.find(asked.kind, region, of) for of in asked.of)
    return [Held(asked, quota) for quota in found if quota is not None]


def _open(asked: list[Asked], held: list[Held], region: str) -> Verdict | None:
    """Say what is missing: a quota that nobody stated, or how much of one is used."""
    answered = {each.asked for each in held}
    missing = [each for each in asked if each.needs_quota and each not in answered]
    if missing:
        first = missing[0]
        named = f" of `{first.of[0]}`" if first.of[0] else ""
        unit = _UNITS[first.kind]
        return unknown("R4", f"no quota of {unit}{named} is stated for `{region}`; {_HOW}")
    for each in held:
        if each.quota.used is None:
            unit, limit = _UNITS[each.quota.kind], each.quota.limit
            reason = f"needs {_number(each.asked.needed)} {unit} of a quota of {limit:,}"
            return unknown("R4", f"{reason}; how many are used is not stated, {_HOW}")
    return None


def _tightest(held: list[Held]) -> Verdict | None:
    if not held:
        return None
    tight = max(held, key=lambda each: each.share)
    free = f"{max(0.0, 1 - tight.share):.0%} stay free"
    if tight.share >= _ALARM:
        return ok("R4", f"{tight}; only {free}: ask for more before the peak")
    return ok("R4", f"{tight}; {free}")


def _fewer(need: Need, placement: Placement, broken: list[Held]) -> Change | None:
    """Return how many instances fit; None where another number would not make the count."""
    if placement.count != need.instances or not all(each.asked.each for each in broken):
        return None
    fits = min(int(each.left // each.asked.each) for each in broken)
    if fits < _fewest(need):
        return None
    is_explore = need.function == "explore"
    field = need.at("demand.users") if is_explore else need.instances_field
    return Change(field=field, value=fits)


def _fewest(need: Need) -> int:
    """Return how many instances there are at least, whatever the file says."""
    demand = need.demand
    if isinstance(demand, OnlineDemand) and demand.replica_requests_per_second:
        return max(1, math.ceil(demand.peak / demand.replica_requests_per_second))
    return 1


@lru_cache(maxsize=256)
def _nobody_stated(region: str) -> Verdict:
    return unknown("R4", f"no quota is stated for `{region}`; {_HOW}")


@lru_cache(maxsize=4096)
def _series(skus: Skus, sku: str) -> str | None:
    return skus.find(sku).series if sku in skus else None


def _number(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 or amount == int(amount) else f"{amount:,.3g}"


QUOTA: tuple[Rule, ...] = (Rule("R4", Pillar.PERFORMANCE, Scope.OFFER, quotas_suffice),)
