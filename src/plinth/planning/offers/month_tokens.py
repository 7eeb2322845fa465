"""What a hosted model's tokens cost in a month: read, written, trained; none of it rounded.

`offers.py` asks where a model is sold, `month.py` what its month costs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache

from plinth.catalog.catalog import Catalog
from plinth.catalog.meter_name import Counted, Deployment
from plinth.catalog.meters import MeterQuery
from plinth.catalog.names import spelling
from plinth.catalog.price import COUNTS, ListPrice
from plinth.catalog.token_prices import load_token_prices
from plinth.domain.application import (
    HOURS_PER_MONTH,
    BatchDemand,
    OnlineDemand,
    TrainDemand,
)
from plinth.domain.need import Need
from plinth.domain.platform import Offer, Processed
from plinth.domain.token_cost import TokenPrice
from plinth.domain.tokens import TokenMeter
from plinth.kit.errors import Invalid, NotFound
from plinth.planning.offers.month_price import NO_PRICE, Costed, cost_line, plain

# Not bound to a region, as far as is known: rules that ask for one reject it.
ANYWHERE = "anywhere"
EXTERNAL = "external-model-api"
STANDARD = "azure-openai-standard"
BATCH = "azure-openai-batch"
DEPLOYMENTS: Mapping[Processed, Deployment] = {
    "region": Deployment.REGIONAL,
    "data-zone": Deployment.DATA_ZONE,
    "global": Deployment.GLOBAL,
}
TUNED = frozenset({"fine-tuned"})
REINFORCED = frozenset({"training-rft"})
_OF_BATCH = frozenset({"batch"})
_NONE: frozenset[str] = frozenset()
_SERVED: tuple[Counted, ...] = (Counted.INPUT, Counted.OUTPUT)
_SERVED_TUNED = (*_SERVED, Counted.HOSTING)
_TRAINED: tuple[Counted, ...] = (Counted.TRAINING,)
_INSTRUCT = "-instruct"
_HOUR_S = 3600
_MILLION = Decimal(1_000_000)
# How the list calls the hosting of a tuned model that is not one of OpenAI's.
_DEPLOYED = "-deployment"
_NO_TUNED = (
    "no price of a tuned one is known; `plinth catalog import` (kind: prices) states one, and what "
    "the model costs untuned says little"
)
_NO_TOKENS = "nobody said how many; state `demand.{field}`"


@dataclass(frozen=True, slots=True)
class MillionPrice:
    """What a million tokens cost, or an hour where `unit` says so."""

    amount: Decimal
    currency: str
    source: str
    unit: str = "1M"


class ModelPrices:
    """The prices of hosted models of one catalog, each worked out once for all regions."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._found: dict[
            tuple[str, Counted, Deployment, frozenset[str]], Mapping[str, ListPrice]
        ] = {}
        self._is_openai: dict[str, bool] = {}

    def by_region(
        self, model: str, counted: Counted, processed: Processed, options: frozenset[str]
    ) -> Mapping[str, ListPrice]:
        """Return the price in each region that takes workloads and has one."""
        key = (model, counted, DEPLOYMENTS[processed], options)
        found = self._found.get(key)
        if found is None:
            found = self._search(*key)
            self._found[key] = found
        return found

    def _search(
        self, model: str, counted: Counted, deployment: Deployment, options: frozenset[str]
    ) -> Mapping[str, ListPrice]:
        names = self._catalog.regions.names
        # Catalogs of models say `llama-3.3-70b-instruct`, the list of prices leaves the word out. A
        # model that takes several kinds of input has a price for text.
        for name in dict.fromkeys((model, shortened(model))):
            for modality in ("", "text"):
                query = MeterQuery(
                    name, counted, deployment, "", modality=modality, options=options
                )
                found = self._catalog.meters.prices(query, names)
                if found:
                    return found
        return {}

    def hosting(self, model: str, processed: Processed, region: str) -> ListPrice | None:
        """Return what an hour of hosting a tuned model costs in a region; None: unknown."""
        for name in (model, f"{shortened(model)}{_DEPLOYED}"):
            found = self.by_region(name, Counted.HOSTING, processed, TUNED).get(region)
            if found is not None:
                return found
        return None

    def is_openai(self, model: str) -> bool:
        """Tell whether Azure OpenAI sells the model, by the products of its meters."""
        if model not in self._is_openai:
            known = self._catalog.meters.models
            name = model if spelling(model) in known else shortened(model)
            meters = self._catalog.meters.find(name) if spelling(name) in known else ()
            self._is_openai[model] = any(each.product.startswith("Azure OpenAI") for each in meters)
        return self._is_openai[model]


@lru_cache(maxsize=4)
def model_prices(catalog: Catalog) -> ModelPrices:
    """Return the prices of hosted models of a catalog, which never changes."""
    return ModelPrices(catalog)


def shortened(model: str) -> str:
    """Return a model's name without the `-instruct` that not every list writes."""
    return model[: -len(_INSTRUCT)] if model.lower().endswith(_INSTRUCT) else model


def options_of(need: Need, platform: str) -> frozenset[str]:
    """Return what makes the price a special one: batch, tuning."""
    if need.function == "train":
        return REINFORCED if need.method == "reinforcement" else TUNED
    options = _OF_BATCH if platform == BATCH else _NONE
    return options | TUNED if need.tuned else options


def offer_options(need: Need, platform: str) -> frozenset[str]:
    """Return what a price must be for, so that the model is sold where there is one.

    Where a tuned model can be had, nobody lists: it is taken to be where its base model is.
    """
    return options_of(need, platform) - TUNED if need.tuned else options_of(need, platform)


def same_prices(need: Need, platform: str, offer: Offer, prices: ModelPrices) -> Hashable:
    """Return what is alike for regions whose tokens cost the same; for keys of a cache.

    It holds while `prices` does.
    """
    options, place = options_of(need, platform), offer.processed_in or "global"
    counts = _TRAINED if need.function == "train" else _SERVED
    if need.tuned:
        counts = _SERVED_TUNED
    model, region = offer.model or "", offer.region
    return tuple(
        id(prices.hosting(model, place, region))
        if each is Counted.HOSTING
        else id(prices.by_region(model, each, place, options).get(region))
        for each in counts
    )


@lru_cache(maxsize=256)
def external_price(model: str, today: date | None) -> TokenPrice | None:
    """Return the price of a model at who makes it; None: unknown. Reads a large file once."""
    book = load_token_prices()
    at = datetime.combine(today or date.max, time(12), UTC)
    try:
        return book.price(book.find(model), at)
    except (NotFound, Invalid):
        return None


def calls_of(need: Need) -> Decimal | None:
    """Return the requests, or rows, of a month, exactly; None: nobody said."""
    demand = need.demand
    if isinstance(demand, OnlineDemand):
        return _exact(demand.requests_per_second) * _exact(demand.active_hours) * _HOUR_S
    if isinstance(demand, BatchDemand) and demand.rows is not None:
        return demand.rows * _exact(demand.runs)
    return None


def tokens_of(need: Need, field: str) -> int | None:
    """Return the tokens of one request or row; None: nobody said."""
    demand = need.demand
    if not isinstance(demand, OnlineDemand | BatchDemand):
        return None
    return demand.input_tokens if field == "input_tokens" else demand.output_tokens


def token_lines(
    need: Need, platform: str, offer: Offer, catalog: Catalog, share: Decimal = Decimal(1)
) -> tuple[Costed, ...]:
    """Return what its tokens cost at list prices. `share`: of all requests, those that count."""
    if need.function == "train":
        return (_training_line(need, platform, offer, catalog),)
    found = []
    for counted, field in ((Counted.INPUT, "input_tokens"), (Counted.OUTPUT, "output_tokens")):
        price = token_price(need, platform, offer, catalog, counted)
        if price is None and counted is Counted.OUTPUT and not tokens_of(need, field):
            continue  # Embeddings write nothing, and have no price for it.
        found.append(_tokens_line(need, offer, field, price, share))
    return tuple(found)


def token_price(
    need: Need, platform: str, offer: Offer, catalog: Catalog, counted: Counted
) -> MillionPrice | None:
    """Return what a million tokens cost for the offer; None: unknown."""
    model = offer.model or ""
    if platform == EXTERNAL:
        return None if need.tuned else _of_maker(need, model, counted)
    options = options_of(need, platform)
    place = offer.processed_in or "global"
    prices = model_prices(catalog).by_region(model, counted, place, options)
    return million_price(prices.get(offer.region))


def million_price(price: ListPrice | None) -> MillionPrice | None:
    """Return a list's price for a million; as it is where it does not count things."""
    if price is None:
        return None
    source = str(price.source)
    if price.unit not in COUNTS:
        return MillionPrice(price.amount, price.currency, source, price.unit)
    return MillionPrice(price.per_million or Decimal(0), price.currency, source)


def _of_maker(need: Need, model: str, counted: Counted) -> MillionPrice | None:
    # The newest price: which day it is today decides nothing here.
    found = external_price(model, None)
    meter = TokenMeter.INPUT if counted is Counted.INPUT else TokenMeter.OUTPUT
    if found is None or meter not in found.rates:
        return None
    amount, _ = found.rates[meter].at(tokens_of(need, "input_tokens") or 0)
    return MillionPrice(amount, found.currency, found.source)


def _tokens_line(
    need: Need, offer: Offer, field: str, price: MillionPrice | None, share: Decimal
) -> Costed:
    what = f"{field.replace('_', ' ')} of {_called(need, offer)}"
    if price is None:
        how = _NO_TUNED if need.tuned else NO_PRICE
        return cost_line(None, what=what, amount=None, how=how)
    calls, each = calls_of(need), tokens_of(need, field)
    unit = f"{plain(price.amount)} {price.currency} for a million"
    if calls is None or each is None:
        unsaid = _NO_TOKENS.format(field="rows" if calls is None else field)
        how = f"{unit}; {unsaid}"
        return cost_line(None, what=what, amount=None, how=how, source=price.source)
    of = "" if share == 1 else f" x {share * 100:.1f} %"
    noun = "rows" if need.function == "batch" else "requests"
    return cost_line(
        price.currency,
        what=what,
        amount=calls * each * share * price.amount / _MILLION,
        how=f"{plain(calls)} {noun} x {each:,} tokens{of} x {unit}",
        source=price.source,
    )


def hosting_lines(need: Need, platform: str, offer: Offer, catalog: Catalog) -> tuple[Costed, ...]:
    """Return what a tuned model costs for being there all month, and in a second region too.

    Nothing where the model is as its provider made it.
    """
    if not need.tuned:
        return ()
    what = f"hosting of {_called(need, offer)}"
    here = _hosting_line(platform, offer, offer.region, what, catalog)
    if offer.standby is None:
        return (here,)
    what = f"standby in {offer.standby}: {what}"
    return here, _hosting_line(platform, offer, offer.standby, what, catalog)


def _hosting_line(platform: str, offer: Offer, region: str, what: str, catalog: Catalog) -> Costed:
    price = None
    if platform != EXTERNAL:
        place = offer.processed_in or "global"
        price = model_prices(catalog).hosting(offer.model or "", place, region)
    if price is None:
        return cost_line(None, what=what, amount=None, how=_NO_TUNED)
    rate = f"{plain(price.amount)} {price.currency} an hour"
    return cost_line(
        price.currency,
        what=what,
        amount=HOURS_PER_MONTH * price.amount,
        how=f"{HOURS_PER_MONTH} h x {rate}, whether anybody asks or not",
        source=str(price.source),
    )


def _called(need: Need, offer: Offer) -> str:
    return f"tuned {offer.model}" if need.tuned else f"{offer.model}"


def _training_line(need: Need, platform: str, offer: Offer, catalog: Catalog) -> Costed:
    what = f"training of {offer.model}"
    price = token_price(need, platform, offer, catalog, Counted.TRAINING)
    if price is None:
        return cost_line(None, what=what, amount=None, how=NO_PRICE)
    demand = need.demand
    runs = _exact(demand.runs) if isinstance(demand, TrainDemand) else Decimal(1)
    tokens = demand.tokens if isinstance(demand, TrainDemand) else None
    unit = f"{plain(price.amount)} {price.currency}"
    if price.unit == "hour":
        hours = need.run_hours
        quantity = None if hours is None else runs * _exact(hours)
        how = f"{plain(runs)} runs x {plain(_exact(hours or 0))} h x {unit} an hour"
        unsaid = f"{unit} an hour; nobody said how long it runs, state `demand.duration`"
    else:
        quantity = None if tokens is None else runs * tokens / _MILLION
        how = f"{plain(runs)} runs x {tokens or 0:,} tokens x {unit} for a million"
        unsaid = f"{unit} for a million; {_NO_TOKENS.format(field='tokens')}"
    return cost_line(
        price.currency,
        what=what,
        amount=None if quantity is None else quantity * price.amount,
        how=unsaid if quantity is None else how,
        source=price.source,
    )


def _exact(number: float) -> Decimal:
    """Return a number as it was written: 0.1 is one tenth."""
    return Decimal(str(number))
