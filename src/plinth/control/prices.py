"""The prices in force, and stating one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from plinth.catalog.prices import load_prices
from plinth.control.context import Context
from plinth.domain.access import Actor
from plinth.domain.base import Declared
from plinth.domain.money import ENDPOINT, GATEWAY, Price, parse_amount, parse_currency, parse_sku
from plinth.kit.clock import parse_moment
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt
from plinth.metering.rating import PriceBook
from plinth.store.endpoints import find_endpoint
from plinth.store.prices import add_price, list_prices, source_of


class NewPrice(Declared):
    """A price to state, as a person wrote it. `valid_from`: a day or a time; None: this minute."""

    sku: str
    amount: str
    currency: str
    valid_from: str | None = None


def open_book(connection: Connection) -> PriceBook:
    """Return the prices that Plinth brings together with the stated ones."""
    return PriceBook(load_prices(), list_prices(connection))


def all_prices(connection: Connection) -> list[Price]:
    """Return every price there is or was, by SKU and time; of equal ones the replaced first."""
    found = [*load_prices(), *list_prices(connection)]
    return sorted(found, key=lambda price: (price.sku, price.valid_from))


def state_price(connection: Connection, context: Context, actor: Actor, new: NewPrice) -> Price:
    """Write down a price from a time on; what was used before that time keeps its price.

    Raises Invalid for what is no SKU of a platform, no amount, no currency or no time.
    """
    sku = parse_sku(new.sku)
    if sku.place.startswith(ENDPOINT):
        _check_endpoint(connection, sku.place.removeprefix(ENDPOINT))
    places = {GATEWAY, *(platform.name for platform in context.platforms())}
    if sku.place not in places and not sku.place.startswith(ENDPOINT):
        raise Invalid(
            f"there is no platform `{sku.place}`; prices are for "
            + ", ".join(f"`{place}`" for place in sorted(places))
        )
    now = context.clock.now()
    # People are shown whole minutes: they can name this one again, to correct the price.
    minute = now.replace(second=0, microsecond=0)
    try:
        valid_from = parse_moment(new.valid_from) if new.valid_from is not None else minute
    except ValueError as err:
        raise Invalid(str(err)) from err
    price = Price(
        sku=str(sku),
        amount=parse_amount(new.amount),
        currency=parse_currency(new.currency),
        valid_from=valid_from,
        source=source_of(actor.principal.name, now),
        stated_by=actor.principal.id,
        stated_at=now,
    )
    add_price(connection, price)
    return price


def _check_endpoint(connection: Connection, name: str) -> None:
    if find_endpoint(connection, name) is None:
        raise Invalid(
            f"there is no endpoint `{excerpt(name)}`",
            hint="`plinth list` shows them; apply it first",
        )


def replaced_at(book: PriceBook, price: Price) -> datetime | None:
    """Return when the next price of the same SKU takes over; None: none was stated yet."""
    later = (each.valid_from for each in book.prices() if each.sku == price.sku)
    return min((at for at in later if at > price.valid_from), default=None)


def other_currencies(book: PriceBook, price: Price) -> dict[str, str]:
    """Return the SKUs of the same platform that cost another currency when `price` begins."""
    place = parse_sku(price.sku).place
    skus = {each.sku for each in book.prices() if parse_sku(each.sku).place == place}
    found = {sku: book.at(sku, price.valid_from) for sku in skus}
    return {
        sku: each.currency
        for sku, each in sorted(found.items())
        if each is not None and each.amount and each.currency != price.currency
    }
