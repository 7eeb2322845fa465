"""The token prices that Plinth brings: which row holds for a provider, model, time and tier.

The command line, the planner and the meter of the gateway ask a `TokenPriceBook`. The rows come
from `data/token_prices.json`, which `tools/token_prices.py` writes; nothing here reaches the
network. An organisation's own prices (`token_price_file.py`) go before them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from plinth.domain.mistake import nearest_name
from plinth.domain.token_cost import Rate, TokenCost, TokenPrice, cost_of
from plinth.domain.tokens import TokenMeter, TokenUsage
from plinth.kit.errors import Invalid, NotFound

FILE = "data/token_prices.json"
# A longer name is no model's; rules on names are patterns, and see nothing longer.
LONGEST_NAME = 200
STANDARD = "standard"

Json = dict[str, Any]

_NO_ROWS: Mapping[str, Any] = {"prices": ()}
_COMPACT_DAY = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=[-:]|$)")


@dataclass(frozen=True, slots=True)
class TokenModel:
    """A model as a provider sells it. `priced_by`: the provider whose row it is."""

    provider: str
    name: str
    priced_by: str
    row: Mapping[str, Any]


class TokenPriceBook:
    """Every price of every model. Of two rows the organisation's own counts."""

    def __init__(self, document: Mapping[str, Any], own: Iterable[TokenPrice] = ()) -> None:
        """Take a document as `tools/token_prices.py` writes it, and rows of one's own."""
        self._providers: dict[str, Json] = document["providers"]
        self._source = f"{document['package']} {document['version']}, taken {document['taken']}"
        self._own = tuple(own)

    def providers(self) -> tuple[str, ...]:
        """Return the names of all providers."""
        return tuple(sorted({*self._providers, *(row.provider for row in self._own)}))

    def models(self, provider: str) -> tuple[TokenModel, ...]:
        """Return the models of a provider by name. Raises NotFound naming the nearest provider."""
        seller = self.provider(provider)
        found = {
            row.model: TokenModel(seller, row.model, seller, _NO_ROWS)
            for row in self._own
            if row.provider == seller
        }
        for row in self._providers.get(seller, {"models": ()})["models"]:
            found[row["id"].lower()] = TokenModel(seller, row["id"], seller, row)
        return tuple(sorted(found.values(), key=lambda model: model.name))

    def makers(self, provider: str) -> tuple[str, ...]:
        """Return whose models a provider sells too, at the makers' prices as far as is known."""
        return tuple(self._providers.get(self.provider(provider), {}).get("fallback", ()))

    def responses(self, provider: str) -> Sequence[Json]:
        """Return where the provider's responses hold their usage, one for each flavour."""
        found: Sequence[Json] = self._providers.get(self.provider(provider), {}).get(
            "responses", ()
        )
        return found

    def provider(self, text: str) -> str:
        """Return the name of the provider that is meant. Raises NotFound naming the nearest."""
        found = self._known_provider(text)
        if found is not None:
            return found
        names = self.providers()
        near = nearest_name(text[:LONGEST_NAME], names)
        raise NotFound(
            f"no prices of the provider `{text[:60]}`; known: {', '.join(names)}",
            hint=f"did you mean `{near}`?" if near else "`plinth tokens` lists them",
        )

    def find(self, model: str, provider: str | None = None) -> TokenModel:
        """Return the model that is meant. Without a provider: the one that makes it.

        Raises NotFound, naming the nearest; Invalid when several sell it and none makes it.
        """
        name = model.strip().lower()
        if not name or len(name) > LONGEST_NAME:
            raise Invalid(
                f"a model's name has 1 to {LONGEST_NAME} characters; this has {len(name)}"
            )
        sold_by = self._seller(name) if provider is None else self.provider(provider)
        found = self._named(name, sold_by)
        if found is None:
            raise self._no_model(model, sold_by)
        return found

    def rows(self, model: TokenModel) -> tuple[TokenPrice, ...]:
        """Return every row of the model: its standard ones by time, then its tiers."""
        standard = tuple(self._price(model, row) for row in model.row["prices"])
        own = self._own_rows(model)
        if own or model.priced_by != model.provider:
            # Tiers are an offer of who makes the model: not of who sells it too, and not beside a
            # price that was agreed with you.
            return (*standard, *own)
        tiers = model.row.get("tiers", ())
        return (*standard, *(self._price(model, row) for row in tiers))

    def price(self, model: TokenModel, at: datetime, tier: str | None = None) -> TokenPrice:
        """Return the row that holds at a time. `tier`: None or `standard`, else such as `batch`.

        A tier of the list names only what differs from the standard price, which fills in the rest;
        a row of one's own is whole. Raises NotFound naming the tiers that there are.
        """
        rows = self.rows(model)
        moment = _in_utc(at)
        standard = _in_force([row for row in rows if row.tier is None], moment)
        if tier in (None, STANDARD, "default"):
            if standard is None:
                raise NotFound(
                    f"`{model.name}` of `{model.provider}` has no price at {_day(moment)}"
                )
            return standard
        chosen = _in_force([row for row in rows if row.tier == tier], moment)
        if chosen is None:
            raise _no_tier(model, rows, moment, str(tier))
        if standard is None or chosen in self._own:
            return chosen
        return replace(chosen, rates={**standard.rates, **chosen.rates})

    def cost(
        self,
        model: str,
        usage: TokenUsage,
        *,
        provider: str,
        at: datetime,
        tier: str | None = None,
        requests: int = 1,
    ) -> TokenCost:
        """Return what usage costs; unknown, with the reason, where there is no price.

        For meters, which have nobody to ask: no time is spent on names that are near. Raises
        Invalid for usage that contradicts itself.
        """
        seller, name = self._known_provider(provider), model.strip().lower()
        is_name = seller is not None and len(name) <= LONGEST_NAME
        found = self._named(name, str(seller)) if is_name else None
        if found is None:
            why = f"no price of `{model[:60]}` is known for `{provider[:60]}`"
            return TokenCost(None, (), requests, why)
        try:
            price = self.price(found, at, tier)
        except NotFound as err:
            return TokenCost(None, (), requests, err.message)
        return cost_of(usage, price, requests)

    def _known_provider(self, text: str) -> str | None:
        name = text.strip().lower()[:LONGEST_NAME]
        if name in self._providers or any(row.provider == name for row in self._own):
            return name
        for candidate, row in self._providers.items():
            if row["also"] is not None and matches(row["also"], name):
                return candidate
        return None

    def _named(self, name: str, provider: str) -> TokenModel | None:
        found = self._sold(name, provider)
        if found is None and (other := _with_dashes(name)) != name:
            return self._sold(other, provider)
        return found

    def _seller(self, name: str) -> str:
        for candidate, row in self._providers.items():
            if row["sells"] is not None and matches(row["sells"], name):
                return candidate
        sellers = [each for each in self.providers() if self._sold(name, each, fall_back=False)]
        if len(sellers) == 1:
            return sellers[0]
        if sellers:
            raise Invalid(
                f"`{name}` is sold by {', '.join(sellers)}, at prices of their own",
                hint=f"say which: `--provider {sellers[0]}`",
            )
        raise self._no_model(name, None)

    def _sold(self, name: str, provider: str, *, fall_back: bool = True) -> TokenModel | None:
        found = self._brought(name, provider, fall_back=fall_back)
        if found is not None and found.name.lower() == name:
            return found
        if any((row.provider, row.model) == (provider, name) for row in self._own):
            return TokenModel(provider, name, provider, _NO_ROWS)
        return found

    def _brought(self, name: str, provider: str, *, fall_back: bool) -> TokenModel | None:
        made = self._providers.get(provider, {"fallback": (), "models": ()})
        for priced_by in (provider, *(made["fallback"] if fall_back else ())):
            for model in self._providers.get(priced_by, {"models": ()})["models"]:
                # Some names of the source are for people, and no rule of its own finds them.
                if matches(model["match"], name) or model["id"].lower() == name:
                    return TokenModel(provider, model["id"], priced_by, model)
        return None

    def _own_rows(self, model: TokenModel) -> tuple[TokenPrice, ...]:
        return tuple(
            row
            for row in self._own
            if (row.provider, row.model) == (model.provider, model.name.lower())
        )

    def _price(self, model: TokenModel, row: Json) -> TokenPrice:
        pages = self._providers[model.priced_by]["pages"]
        daily = row.get("daily")
        return TokenPrice(
            provider=model.provider,
            model=model.name,
            rates={TokenMeter(name): _rate(rate) for name, rate in row["rates"].items()},
            source=f"{pages[0]} ({self._source})" if pages else self._source,
            priced_by=model.priced_by,
            tier=row.get("tier"),
            valid_from=date.fromisoformat(row["from"]) if "from" in row else None,
            daily=None
            if daily is None
            else (time.fromisoformat(daily[0]), time.fromisoformat(daily[1])),
            other=tuple(model.row.get("other", ())),
        )

    def _no_model(self, model: str, provider: str | None) -> NotFound:
        sold_by = () if provider is None else (provider, *self.makers(provider))
        providers = sold_by or self.providers()
        names = sorted({name for each in providers for name in self._names(each)})
        near = nearest_name(model[:LONGEST_NAME], names)
        where = "any provider" if provider is None else f"`{provider}`"
        elsewhere = "" if near or provider is None else self._elsewhere(model)
        return NotFound(
            f"no price of `{model[:60]}` is known for {where}{elsewhere}",
            hint=f"did you mean `{near}`?"
            if near
            else "`plinth tokens --provider NAME` lists models; `--prices FILE` adds your own",
        )

    def _names(self, provider: str) -> tuple[str, ...]:
        return tuple(model.name for model in self.models(provider))

    def _elsewhere(self, model: str) -> str:
        name = model.strip().lower()
        sellers = [each for each in self.providers() if self._sold(name, each, fall_back=False)]
        return f"; known for {', '.join(sellers[:6])}" if sellers else ""


@cache
def load_token_prices() -> TokenPriceBook:
    """Return the book of the prices that Plinth brings; it is read once in a process."""
    return TokenPriceBook(_document())


def with_own_prices(own: Iterable[TokenPrice]) -> TokenPriceBook:
    """Return a book in which an organisation's own rows go before those that Plinth brings."""
    return TokenPriceBook(_document(), own)


@cache
def _document() -> Json:
    content = resources.files("plinth.catalog").joinpath(FILE).read_bytes()
    document: Json = json.loads(content)
    return document


def matches(rule: Any, name: str) -> bool:
    """Say whether a rule of the data file holds for a name in lower case."""
    if isinstance(rule, str):
        return rule == name
    if isinstance(rule, list):
        return any(matches(each, name) for each in rule)
    ((kind, value),) = rule.items()
    if kind == "starts_with":
        return name.startswith(value)
    if kind == "ends_with":
        return name.endswith(value)
    if kind == "contains":
        return value in name
    if kind == "regex":
        return re.search(value, name) is not None
    return all(matches(each, name) for each in value)


def _rate(written: Any) -> Rate:
    if isinstance(written, str):
        return Rate(Decimal(written))
    base, *steps = written
    return Rate(Decimal(base), tuple((start, Decimal(above)) for start, above in steps))


def _with_dashes(name: str) -> str:
    """Return `m-20250807` as `m-2025-08-07`, which is how other sellers write it."""
    return _COMPACT_DAY.sub(r"-\1-\2-\3", name)


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise Invalid(f"`{at.isoformat()}` has no time zone", hint="add `Z` for UTC")
    return at.astimezone(UTC)


def _in_force(rows: Sequence[TokenPrice], moment: datetime) -> TokenPrice | None:
    """Return the last row that holds: rows stand in the order in which they replace each other."""
    return next((row for row in reversed(rows) if _holds(row, moment)), None)


def _holds(row: TokenPrice, moment: datetime) -> bool:
    if row.valid_from is not None and moment.date() < row.valid_from:
        return False
    if row.daily is None:
        return True
    begin, end = row.daily
    clock = moment.time()
    return begin <= clock < end if begin <= end else clock >= begin or clock < end


def _no_tier(
    model: TokenModel, rows: Sequence[TokenPrice], moment: datetime, tier: str
) -> NotFound:
    names = sorted({row.tier for row in rows if row.tier})
    later = sorted(row.valid_from for row in rows if row.tier == tier and row.valid_from)
    if later:
        asked = f"asked for {_day(moment)}"
        why = f"no price of its tier `{tier[:40]}` is known before {later[0]}, {asked}"
    else:
        why = f"no price of a tier `{tier[:40]}` is known; known: {', '.join([STANDARD, *names])}"
    near = nearest_name(tier, [STANDARD, *names]) if not later else None
    hint = f"did you mean `{near}`?" if near else "leave the tier out for the standard price"
    return NotFound(f"`{model.name}` of `{model.provider}`: {why}", hint=hint)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
