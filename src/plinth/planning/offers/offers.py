"""What each platform can give for a need: ways to buy, regions, sizes or hosted models, how many.

Whoever plans makes one `Offers` and asks it for every part, platform, tier and region. Nothing here
judges: where nothing is large enough the largest is offered, so that a rule can say what is
missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from plinth.catalog.catalog import Catalog
from plinth.catalog.machine import LOCAL
from plinth.catalog.meter_name import Counted
from plinth.catalog.price import USD
from plinth.domain.application import BatchDemand, OnlineDemand, TrainDemand
from plinth.domain.inventory import Owned
from plinth.domain.need import Need
from plinth.domain.platform import Offer, Platform, PriceTier, Processed
from plinth.planning.context import Context
from plinth.planning.offers.machines import machines_of
from plinth.planning.offers.month_machines import AS_ASKED, OWN_PLATFORMS, machine_count
from plinth.planning.offers.month_tokens import (
    ANYWHERE,
    EXTERNAL,
    external_price,
    model_prices,
    offer_options,
)
from plinth.planning.offers.month_units import (
    PROVISIONED,
    provisioned_row,
    unit_prices,
    units_for,
    units_owned,
)

# Which of Azure's services must be sold in a region for the platform to be there.
_MACHINE_LEARNING = "Azure Machine Learning"
SERVICES: Mapping[str, str] = {
    "aks": "Azure Kubernetes Service",
    "azureml-batch-endpoint": _MACHINE_LEARNING,
    "azureml-compute-cluster": _MACHINE_LEARNING,
    "azureml-compute-instance": _MACHINE_LEARNING,
    "azureml-online-endpoint": _MACHINE_LEARNING,
    "azureml-serverless-compute": _MACHINE_LEARNING,
    "azureml-serverless-spark": _MACHINE_LEARNING,
    "azureml-serverless-spot": _MACHINE_LEARNING,
    "data-science-vm": "Virtual Machines",
    "databricks-jobs": "Azure Databricks",
    "databricks-model-serving": "Azure Databricks",
    "foundry-agent-service": "Foundry Models",
    "foundry-hub": _MACHINE_LEARNING,
    "prompt-flow": _MACHINE_LEARNING,
    "synapse-spark": "Azure Synapse Analytics",
}
# These sell models, not machines; the ones of Azure OpenAI only those that Azure OpenAI has.
_OPENAI = frozenset({"azure-openai-standard", "azure-openai-batch"})
HOSTED = frozenset({*_OPENAI, PROVISIONED, "azureml-serverless-api", EXTERNAL})
# Where nobody said in which region a thing of one's own stands.
UNSTATED = "unstated"
_PLACES: tuple[Processed, ...] = ("region", "data-zone", "global")
# A commitment is paid for all month: below half of it, nobody would make one.
_HALF_MONTH = 365

# What is the same of every offer without a size of its own. A copy of it takes a third of the time
# of a new one.
_PLAIN = Offer(sku="-", region=ANYWHERE, cpu=0, memory=0, currency=USD)

UnitsKey = tuple[str, Processed, OnlineDemand | None, bool, int]


class Offers:
    """The offers of every platform for every need; each is worked out once."""

    def __init__(self, catalog: Catalog, context: Context, local: tuple[Offer, ...] = ()) -> None:
        """Take the catalog, what holds for whoever asks, and what this machine can give."""
        self._catalog = catalog
        self._context = context
        self._local = local
        self._machines = machines_of(catalog)
        self._models = model_prices(catalog)
        self._units: dict[UnitsKey, int] = {}
        self._available: dict[tuple[str, str], bool | None] = {}

    def tiers(self, need: Need, platform: Platform) -> tuple[PriceTier, ...]:
        """Return the ways to buy that make sense for the need, in the order of the facts.

        Spare capacity is for what runs and ends, or was said to bear interruption; a commitment for
        what runs half of a month or more. Where the ways are not known, it is paid as it is used.
        """
        known = platform.capability.supply.tiers
        if known is None:
            return ("pay-as-you-go",)
        return tuple(tier for tier in known if self._makes_sense(need, platform, tier))

    def regions(self, need: Need, platform: Platform) -> tuple[str, ...]:
        """Return where it is sold, or not known not to be; for one's own, where it stands.

        A model of another provider has the one region `anywhere`: where it is processed nobody
        promises, so what asks for a region is rejected by it. A hosted model is where a price list
        has it.
        """
        name = platform.name
        if name in OWN_PLATFORMS:
            return tuple(dict.fromkeys(offer.region for offer in self._own(need, platform)))
        if name in HOSTED:
            return self._model_regions(need, platform)
        return self._service_regions(name)

    def offers(
        self, need: Need, platform: Platform, tier: PriceTier, region: str
    ) -> tuple[Offer, ...]:
        """Return what is offered in a region, bought in one way.

        Of machines the cheapest size that is large enough, and each that was measured; of hosted
        models one for each place where requests may be processed. Nothing where the service, the
        size, the model or its units are known not to be sold.
        """
        if platform.name in OWN_PLATFORMS:
            return tuple(each for each in self._own(need, platform) if each.region == region)
        if platform.name in HOSTED:
            return tuple(self._hosted(need, platform, tier, region))
        if self._is_sold(platform, region) is False:
            return ()
        if platform.name in AS_ASKED:
            return (self._as_asked(need, platform, tier, region),)
        return self._machines.offers(need, tier, region)

    def count(self, need: Need, offer: Offer) -> int:
        """Return how many of the offer: machines for the peak, units for the load, one model."""
        if offer.model is None:
            return machine_count(need, offer)
        if offer.tier in ("provisioned", "reserved"):
            return self._units_of(need, offer)
        return 1

    def _units_of(self, need: Need, offer: Offer) -> int:
        """Return the units for the load, which are the same wherever as many are owned."""
        has = units_owned(self._context.inventory, offer)
        model, processed = offer.model or "", offer.processed_in or "global"
        demand = need.demand if isinstance(need.demand, OnlineDemand) else None
        key = (model, processed, demand, need.requirements.guaranteed_throughput, has)
        if key not in self._units:
            row = provisioned_row(model, processed)
            self._units[key] = 1 if row is None else units_for(need, row, has)
        return self._units[key]

    def _makes_sense(self, need: Need, platform: Platform, tier: PriceTier) -> bool:
        if tier == "spot":
            has_others = platform.capability.supply.tiers != ("spot",)
            ends = need.function in ("train", "batch")
            return not has_others or ends or need.requirements.interruptible
        if tier == "provisioned":
            return platform.name in HOSTED
        if tier == "reserved" and platform.name not in HOSTED:
            return _runs_long(need, platform)
        return True

    def _is_sold(self, platform: Platform, region: str) -> bool | None:
        """Tell whether the platform's service is sold in a region; None: unknown."""
        service = SERVICES[platform.name]
        if (service, region) not in self._available:
            self._available[service, region] = self._catalog.services.offered(service, region)
        return self._available[service, region]

    def _as_asked(self, need: Need, platform: Platform, tier: PriceTier, region: str) -> Offer:
        has_gpu = platform.capability.compute.gpu is not False
        update = {
            "sku": AS_ASKED[platform.name],
            "region": region,
            "cpu": need.resources.cpu,
            "memory": need.resources.memory,
            "tier": tier,
            "available": self._is_sold(platform, region),
            "accelerator": need.resources.accelerator if has_gpu else None,
        }
        return _PLAIN.model_copy(update=update)

    def _own(self, need: Need, platform: Platform) -> Iterator[Offer]:
        """Yield what there is of one's own: this machine, or what the inventory names."""
        stated = sorted(self._context.inventory.of(platform.name), key=lambda each: each.name)
        if platform.name == LOCAL:
            # There is one of it, as large as it was found to be; its owner says where it stands.
            yield from (_reckoned(each, stated) for each in self._local)
            return
        for each in stated:
            yield _owned_offer(each, need)

    def _service_regions(self, platform: str) -> tuple[str, ...]:
        service = SERVICES.get(platform)
        return () if service is None else _regions_selling(self._catalog, service)

    def _model_regions(self, need: Need, platform: Platform) -> tuple[str, ...]:
        model = _model_of(need)
        if model is None:
            return ()
        if platform.name == EXTERNAL:
            return (ANYWHERE,) if self._is_external(need, model) else ()
        sold = {
            region
            for processed in _places(platform)
            for region in self._sold_models(need, platform.name, model, processed)
        }
        return tuple(name for name in self._catalog.regions.names if name in sold)

    def _sold_models(
        self, need: Need, platform: str, model: str, processed: Processed
    ) -> Mapping[str, object]:
        """Return the regions where a model is sold so; what they map to is a price."""
        prices = self._models
        if platform == PROVISIONED:
            if provisioned_row(model, processed) is None or need.function == "train":
                return {}
            return unit_prices(model, processed, self._catalog)
        if (platform in _OPENAI) is not prices.is_openai(model):
            return {}
        counted = Counted.TRAINING if need.function == "train" else Counted.INPUT
        return prices.by_region(model, counted, processed, offer_options(need, platform))

    def _is_external(self, need: Need, model: str) -> bool:
        known = external_price(model, self._context.today)
        return known is not None and need.function != "train"

    def _hosted(
        self, need: Need, platform: Platform, tier: PriceTier, region: str
    ) -> Iterator[Offer]:
        model = _model_of(need)
        if model is None:
            return
        if platform.name == EXTERNAL:
            if region != ANYWHERE or not self._is_external(need, model):
                return
            yield _PLAIN.model_copy(
                update={"sku": model, "region": region, "tier": tier, "model": model}
            )
            return
        for processed in _places(platform):
            if region not in self._sold_models(need, platform.name, model, processed):
                continue
            price = None
            if platform.name == PROVISIONED:
                unit = unit_prices(model, processed, self._catalog)[region]
                price = unit.amount if tier == "provisioned" and unit.currency == USD else None
            update = {
                "sku": f"{model} unit" if platform.name == PROVISIONED else model,
                "region": region,
                "price_per_hour": price,
                "tier": tier,
                "model": model,
                "processed_in": processed,
                "available": True,
            }
            yield _PLAIN.model_copy(update=update)


@lru_cache(maxsize=64)
def _regions_selling(catalog: Catalog, service: str) -> tuple[str, ...]:
    """Return where a service is not known not to be sold, of a catalog, which never changes."""
    offered = catalog.services.offered
    return tuple(name for name in catalog.regions.names if offered(service, name) is not False)


def _model_of(need: Need) -> str | None:
    """Return the model that a provider hosts; for training, the one that is tuned."""
    return need.base_model if need.function == "train" else need.model


def _places(platform: Platform) -> tuple[Processed, ...]:
    known = platform.capability.regions.processed_in
    return _PLACES if known is None else tuple(each for each in _PLACES if each in known)


def _runs_long(need: Need, platform: Platform) -> bool:
    """Tell whether a commitment could pay: what it stands for runs half of the month or more."""
    if need.kind in ("job", "batch"):
        return False
    is_elastic = platform.capability.scale_to_zero or platform.capability.compute.ephemeral
    if not is_elastic and need.function != "explore":
        return True
    hours = need.busy_hours
    if isinstance(need.demand, TrainDemand) and need.demand.measured and hours is None:
        hours = max(need.demand.measured.values()) * need.demand.runs / 3600
    if hours is None:
        return not isinstance(need.demand, TrainDemand | BatchDemand)
    return hours >= _HALF_MONTH


def _reckoned(offer: Offer, stated: Sequence[Owned]) -> Offer:
    """Return this machine as one's own, at the price that its owner reckons with, if any."""
    update: dict[str, object] = {"tier": "own-hardware"}
    prices = (each for each in stated if each.price_per_hour is not None)
    owned = next(prices, None) if offer.price_per_hour is None else None
    if owned is not None:
        update |= {"price_per_hour": owned.price_per_hour, "currency": owned.currency}
    return offer.model_copy(update=update)


def _owned_offer(owned: Owned, need: Need) -> Offer:
    """Return a thing of one's own.

    What nobody said of it is taken to be what is asked for; the rules on its size read the
    inventory, and then say that it is unknown.
    """
    return Offer(
        sku=owned.name,
        region=owned.region or UNSTATED,
        cpu=owned.cpu if owned.cpu is not None else need.resources.cpu,
        memory=owned.memory if owned.memory is not None else need.resources.memory,
        price_per_hour=owned.price_per_hour if owned.price_per_hour is not None else Decimal(0),
        currency=owned.currency,
        count=owned.count,
        tier="own-hardware",
        accelerator=owned.accelerator,
        available=True,
    )
