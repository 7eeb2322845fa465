"""What machines cost in a month: how many hours are paid, at what price, and what comes on top."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from plinth.catalog.catalog import Catalog
from plinth.catalog.machine import LOCAL
from plinth.catalog.names import spelling
from plinth.domain.application import (
    HOURS_PER_MONTH,
    BatchDemand,
    ExploreDemand,
    OnlineDemand,
    TrainDemand,
)
from plinth.domain.need import Need
from plinth.domain.platform import Capability, Offer, Platform
from plinth.planning.offers.month_price import (
    NO_PRICE,
    Bought,
    Costed,
    HourPrice,
    cost_line,
    plain,
    price_list,
)

OWN_PLATFORMS = frozenset({LOCAL, "kubernetes", "ray"})
# What has no size to choose: it is given as large as is asked for, at a price of its own.
AS_ASKED: Mapping[str, str] = {
    "azureml-serverless-spark": "spark-cluster",
    "synapse-spark": "spark-pool",
    "databricks-model-serving": "serverless",
    "foundry-agent-service": "agent",
}
# What is charged beside the machines, or instead of them. Azure ML charges nothing of its own.
SURCHARGES: Mapping[str, str] = {
    "aks": "the cluster's control plane",
    "databricks-jobs": "Databricks units (DBU)",
    "databricks-model-serving": "Databricks units (DBU)",
    "synapse-spark": "Synapse's charge for vCores",
    "azureml-serverless-spark": "the charge for vCores",
    "foundry-agent-service": "the agents' tools and the models that they call",
}
NO_SURCHARGE = frozenset(
    {
        *("azureml-compute-cluster", "azureml-compute-instance", "azureml-online-endpoint"),
        *("azureml-batch-endpoint", "azureml-serverless-compute", "azureml-serverless-spot"),
    }
)
_MONTH = Decimal(HOURS_PER_MONTH)
_HOUR_S = 3600
_NEAR_A_MONTH = 700


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours of a month that one machine is paid for, and the range; None: nobody knows.

    `why`: for people. `at_once`: so many machines share these hours, which may then be more than a
    month has; 1: each has them for itself.
    """

    expected: Decimal | None
    low: Decimal | None
    high: Decimal | None
    why: str
    at_once: int = 1


def machine_count(need: Need, offer: Offer) -> int:
    """Return how many machines: for the peak, and for all runs that must go on at once.

    Of what is bought each instance has a machine of its own; on what is owned, as many share one
    as fit. How many there are limits nothing here: rules say what is missing.
    """
    wanted = need.instances_at_peak * runs_at_once(need, offer)
    return math.ceil(wanted / _fitting(need, offer)) if is_own(offer) else wanted


def is_own(offer: Offer) -> bool:
    """Tell whether it is a thing of one's own: this machine, or one that the inventory names."""
    return offer.tier == "own-hardware" or offer.region == LOCAL


def runs_at_once(need: Need, offer: Offer) -> int:
    """Return how many runs go on at once, so that a month's runs are done within a month."""
    demand = need.demand
    if not isinstance(demand, TrainDemand | BatchDemand):
        return 1
    if not (isinstance(demand, TrainDemand) and demand.measured):
        # Asked for each place of a plan, and seldom near a whole month.
        busy = need.busy_hours
        if busy is None or busy < _NEAR_A_MONTH:
            return 1
    hours, _ = _run_hours(need, demand, offer)
    return 1 if hours is None else max(1, math.ceil(hours / _MONTH))


def _fitting(need: Need, offer: Offer) -> int:
    """Return how many instances one machine holds; 1 also where it is too small for any."""
    needed, has = need.resources, offer.accelerator
    # The small addend: 0.3 cores hold three times 0.1, though their quotient is below 3.
    each = min(int(offer.cpu / needed.cpu + 1e-9), offer.memory // needed.memory)
    if needed.accelerator is not None and has is not None:
        each = min(each, has.count // needed.accelerator.count)
    return max(1, each)


def paid_hours(need: Need, capability: Capability, offer: Offer) -> Hours:
    """Return the hours for which one machine is paid."""
    if offer.tier == "reserved":
        return _always("a reservation is paid for every hour")
    elastic = capability.scale_to_zero or capability.compute.ephemeral
    demand = need.demand
    if isinstance(demand, ExploreDemand):
        return _of_people(need, demand, elastic=bool(elastic))
    if isinstance(demand, TrainDemand | BatchDemand):
        return _of_runs(need, demand, offer) if elastic else _always("it runs all month")
    if isinstance(demand, OnlineDemand):
        if capability.scale_to_zero:
            hours = min(_MONTH, Decimal(str(demand.active_hours)))
            return Hours(hours, hours, hours, "while anybody asks")
        return _always("it runs all month")
    if need.function in ("online", "flow"):
        return _always("it runs all month")
    return Hours(None, None, None, "nobody said how long it runs; state `demand.duration`")


def machine_lines(need: Need, platform: Platform, bought: Bought) -> tuple[Costed, ...]:
    """Return what the machines cost, what comes on top, and the same again for a standby."""
    offer = bought.offer
    hours = paid_hours(need, platform.capability, offer)
    if platform.name in OWN_PLATFORMS:
        return (_own_line(offer, bought.count, hours),)
    found = _lines_in(need, platform.name, bought, hours)
    if offer.standby is None:
        return found
    second = offer.model_copy(update={"region": offer.standby})
    again = _lines_in(need, platform.name, replace(bought, offer=second), hours)
    begin = f"standby in {offer.standby}: "
    return (*found, *(_called(each, begin + each.line.what) for each in again))


def _called(costed: Costed, what: str) -> Costed:
    return replace(costed, line=costed.line.model_copy(update={"what": what}))


def _lines_in(need: Need, platform: str, bought: Bought, hours: Hours) -> tuple[Costed, ...]:
    extra = _surcharge_line(platform, bought, hours)
    has_machines = platform not in AS_ASKED
    machines = _machines_line(need, platform, bought, hours) if has_machines else None
    return tuple(line for line in (machines, extra) if line is not None)


def _always(why: str) -> Hours:
    return Hours(_MONTH, _MONTH, _MONTH, why)


def _of_people(need: Need, demand: ExploreDemand, *, elastic: bool) -> Hours:
    wanted = min(_MONTH, Decimal(str(demand.hours)))
    hours = wanted if need.busy_hours is None else Decimal(str(need.busy_hours))
    limit = "`gpu_hours` lets nobody hold it longer; " if hours < wanted else ""
    if elastic:
        return Hours(hours, hours, hours, f"{limit}while somebody works")
    why = f"{limit}if each is stopped when nobody works, up to 730 h where that is forgotten"
    return Hours(hours, hours, _MONTH, why)


def _of_runs(need: Need, demand: TrainDemand | BatchDemand, offer: Offer) -> Hours:
    """Return the hours of all runs; where they outlast the month, several go on at once."""
    hours, how = _run_hours(need, demand, offer)
    at_once = runs_at_once(need, offer)
    if at_once > 1:
        how = f"{how}, {at_once} at once"
    return Hours(hours, hours, hours, how, at_once)


def _run_hours(
    need: Need, demand: TrainDemand | BatchDemand, offer: Offer
) -> tuple[Decimal | None, str]:
    """Return runs times their length, and why: as measured on this size, else as stated."""
    runs = Decimal(str(demand.runs))
    measured = demand.measured if isinstance(demand, TrainDemand) else {}
    seconds = next(
        (each for name, each in measured.items() if _same(name, offer.sku)), demand.duration
    )
    if seconds is not None:
        hours = runs * Decimal(str(seconds)) / _HOUR_S
        how = f"{plain(runs)} runs x {plain(Decimal(str(seconds)) / _HOUR_S)} h"
        was = "measured on this size" if seconds is not demand.duration else "as stated"
        return hours, f"{how}, {was}"
    if isinstance(demand, BatchDemand) and demand.rows and demand.rows_per_second:
        each = Decimal(str(demand.rows_per_second)) * need.instances * _HOUR_S
        hours = runs * demand.rows / each
        how = f"{plain(runs)} runs x {demand.rows:,} rows / {plain(each)} rows an hour"
        return hours, how
    return None, "nobody said how long it runs; state `demand.duration`"


def _same(name: str, sku: str) -> bool:
    return spelling(name).removeprefix("standard") == spelling(sku)


def _machines_line(need: Need, platform: str, bought: Bought, hours: Hours) -> Costed:
    offer, count = bought.offer, bought.count
    price = _price(offer, bought.catalog)
    what = f"{count} x {offer.sku}"
    if price is None:
        return cost_line(None, what=what, amount=None, how=_no_price(bought))
    rate = f"{plain(price.amount)} {price.currency} an hour"
    if hours.expected is None or hours.low is None or hours.high is None:
        how = f"{rate}; {hours.why}"
        return cost_line(None, what=what, amount=None, how=how, source=price.source)
    paid = _paid(count, hours)
    least = _least(need, paid, offer)
    notes = [f"{paid} x {plain(hours.expected)} h ({hours.why}) x {rate}", price.note]
    if least < paid:
        notes.append(f"{least} of them would do for the average load")
    if platform in NO_SURCHARGE:
        notes.append("Azure Machine Learning adds no charge of its own")
    return cost_line(
        price.currency,
        what=what,
        amount=paid * hours.expected * price.amount,
        low=least * hours.low * price.low,
        high=paid * hours.high * price.high,
        estimated=price.estimated,
        how="; ".join(note for note in notes if note),
        source=price.source,
    )


def _paid(count: int, hours: Hours) -> int:
    """Return what the hours are multiplied by: machines, or groups of them that share the hours."""
    return max(1, count // hours.at_once)


def _no_price(bought: Bought) -> str:
    """Say what is missing: a price, and for some accelerators what the size holds at all."""
    offer, skus = bought.offer, bought.catalog.skus
    if offer.accelerator is None or offer.sku not in skus:
        return NO_PRICE
    if skus.find(offer.sku).accelerators is not None:
        return NO_PRICE
    return (
        f"{NO_PRICE}; nobody stated either how many accelerators and how much memory it has "
        "(kind: skus), so it is taken to have what is asked for"
    )


def _price(offer: Offer, catalog: Catalog) -> HourPrice | None:
    found = price_list(catalog).hour(offer.sku, offer.tier or "pay-as-you-go", offer.region)
    if found is not None or offer.price_per_hour is None:
        return found
    each = offer.price_per_hour
    return HourPrice(each, each, each, offer.currency, "the offer")


def _least(need: Need, count: int, offer: Offer) -> int:
    """Return how many machines the average load needs, where they come and go with it."""
    demand = need.demand
    if not isinstance(demand, OnlineDemand) or offer.tier == "reserved":
        return count
    if not demand.replica_requests_per_second:
        return count
    each = Decimal(str(demand.replica_requests_per_second))
    return max(need.instances, math.ceil(Decimal(str(demand.requests_per_second)) / each))


def _surcharge_line(platform: str, bought: Bought, hours: Hours) -> Costed | None:
    what, count = SURCHARGES.get(platform), _paid(bought.count, hours)
    price = bought.catalog.surcharge(platform, bought.offer.region)
    if price is None:
        if what is None:
            return None
        how = "no price of it is known; `plinth catalog import` (kind: platform-prices) states one"
        return cost_line(None, what=what, amount=None, how=how)
    what = what or "what the platform charges beside its machines"
    if hours.expected is None or hours.low is None or hours.high is None:
        return cost_line(None, what=what, amount=None, how=hours.why)
    rate = f"{plain(price.amount)} {price.currency}"
    return cost_line(
        price.currency,
        what=what,
        amount=count * hours.expected * price.amount,
        low=count * hours.low * price.amount,
        high=count * hours.high * price.amount,
        how=f"{count} x {plain(hours.expected)} h x {rate} for each machine",
        source=str(price.source),
    )


def _own_line(offer: Offer, count: int, hours: Hours) -> Costed:
    what = f"{count} x {offer.sku}, your own"
    if not offer.price_per_hour:
        how = "you have it, so it is not charged again; power and write-off are not counted"
        return cost_line(None, what=what, amount=Decimal(0), how=how)
    # What is owned is paid for whether it works or not; a job has it for its own hours.
    count = _paid(count, hours)
    if hours.expected is None:
        how = f"{plain(offer.price_per_hour)} {offer.currency} an hour; {hours.why}"
        return cost_line(None, what=what, amount=None, how=how)
    return cost_line(
        offer.currency,
        what=what,
        amount=count * hours.expected * offer.price_per_hour,
        how=(
            f"{count} x {plain(hours.expected)} h ({hours.why}) x {plain(offer.price_per_hour)} "
            f"{offer.currency} an hour, as your inventory reckons it"
        ),
        source="plinth inventory",
    )
