"""The bill, and the prices behind it."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from plinth.api.caller import CallerDep, ContextDep, needs, no_team, require_team
from plinth.control.bill import Bill, make_bill, parse_query
from plinth.control.prices import (
    NewPrice,
    all_prices,
    open_book,
    other_currencies,
    replaced_at,
    state_price,
)
from plinth.control.status import Parts
from plinth.domain.access import Action, Resource
from plinth.domain.money import EXACT, Money, Price
from plinth.domain.usage import Gap
from plinth.kit.clock import to_text
from plinth.kit.errors import NotFound
from plinth.metering.bill import Line, Part

router = APIRouter(tags=["usage"])

# Of a quantity in whole units, which may be a third of an hour. Amounts come from fine units.
_QUANTITY = Decimal(1).scaleb(-9)
_READING = Context(prec=60)


@router.get("/bill", **needs(Action.READ, "usage"))
def bill(
    request: Request,
    context: ContextDep,
    caller: CallerDep,
    *,
    by: str = "team,workload",
    since: Annotated[str | None, Query(alias="from")] = None,
    until: Annotated[str | None, Query(alias="to")] = None,
    team: str | None = None,
) -> dict[str, Any]:
    """Bill what the teams that the caller may see have used; amounts are text, never floats."""
    parts: Parts = request.app.state.parts
    if team is not None:
        resource = Resource(kind="usage", team=team)
        caller.require(Action.READ, resource, absent=no_team(team))
        require_team(context, team)
    now = context.clock.now()
    query = parse_query(since=since, until=until, by=by, team=team, now=now)
    made = make_bill(
        context,
        parts.metering,
        query,
        lambda name: caller.may(Action.READ, Resource(kind="usage", team=name)),
    )
    return describe(made)


@router.get("/prices", **needs(Action.READ, "price"))
def prices(context: ContextDep, _caller: CallerDep) -> list[dict[str, Any]]:
    """List every price that is, was or will be in force; whoever has a key may see them."""
    with context.database.read() as connection:
        book, found = open_book(connection), all_prices(connection)
    now, counts = context.clock.now(), book.prices()
    shown = []
    for price in found:
        if price not in counts:
            state = "replaced"
        elif price.valid_from > now:
            state = "to come"
        else:
            state = "in force" if book.at(price.sku, now) == price else "past"
        shown.append({**_price(price), "state": state})
    return shown


@router.post("/prices", status_code=201, **needs(Action.OPERATE, "price"))
def state(new: NewPrice, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """State a price from a time on; what was used before that time keeps its price."""
    absent = NotFound(
        "the prices of the whole platform are not yours to state",
        hint="an operator of the platform states them",
    )
    caller.require(Action.OPERATE, Resource(kind="price"), absent=absent)
    with context.database.write() as connection:
        price = state_price(connection, context, caller.actor, new)
        shown = _price(price)
        caller.note(connection, "set", f"price/{price.sku}", team=None, **shown)
        book = open_book(connection)
    until = replaced_at(book, price)
    return {
        **shown,
        "valid_until": to_text(until) if until else None,
        "other_currencies": other_currencies(book, price),
    }


def describe(made: Bill) -> dict[str, Any]:
    """Return a bill as it is answered; amounts are text."""
    query = made.query
    return {
        "from": to_text(query.since),
        "to": to_text(query.until),
        "is_until_now": query.is_until_now,
        "by": list(query.by),
        "team": query.team,
        "lines": [_line(line, query.by) for line in made.lines],
        "totals": [{**_money(total.shown), "exact": _text(total.cost)} for total in made.totals],
        "unpriced_lines": sum(line.cost is None for line in made.lines),
        "prices": [_price(price) for price in _prices_of(made)],
        "gaps": [_gap(gap) for gap in made.gaps],
    }


def _prices_of(made: Bill) -> list[Price]:
    """Return each price that the bill uses, once: what it says of its source can be long."""
    used = {
        (part.price.sku, part.price.valid_from): part.price
        for line in made.lines
        for part in line.parts
        if part.price is not None
    }
    return [price for _, price in sorted(used.items())]


def _line(line: Line, by: tuple[str, ...]) -> dict[str, Any]:
    return {
        **{str(group): value for group, value in zip(by, line.key, strict=True)},
        **_money(line.shown),
        "exact": _text(line.cost),
        "seen_at": to_text(line.seen_at) if line.seen_at else None,
        "parts": [_part(part) for part in line.parts],
    }


def _part(part: Part) -> dict[str, Any]:
    fine_units = part.measure.fine_units if part.measure else 1
    # Rounded for reading: what is multiplied is `fine_quantity`, which is exact.
    units = _READING.divide(part.quantity, Decimal(fine_units))
    quantity = _READING.quantize(units, _QUANTITY)
    return {
        "meter": part.meter,
        "sku": part.sku,
        "quantity": f"{EXACT.normalize(quantity):f}",
        "unit": part.measure.unit if part.measure else "second",
        "fine_quantity": f"{EXACT.normalize(part.quantity):f}",
        "fine_unit": part.measure.fine_unit if part.measure else "second",
        "fine_units": fine_units,
        "exact": _text(part.cost),
        "price": f"{part.price.amount:f}" if part.price else None,
        "currency": part.price.currency if part.price else None,
        "price_from": to_text(part.price.valid_from) if part.price else None,
        "why_unpriced": part.why_unpriced,
        "estimated": part.estimated,
        "from": to_text(part.since),
        "to": to_text(part.until),
        "seen_at": to_text(part.seen_at) if part.seen_at else None,
    }


def _price(price: Price) -> dict[str, Any]:
    return {
        "sku": price.sku,
        "amount": f"{price.amount:f}",
        "currency": price.currency,
        "unit": price.measure.unit,
        "valid_from": to_text(price.valid_from),
        "source": price.source,
        "stated_by": price.stated_by,
        "stated_at": to_text(price.stated_at) if price.stated_at else None,
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "from": to_text(gap.started_at),
        "to": to_text(gap.ended_at),
        "reason": gap.reason,
    }


def _money(money: Money | None) -> dict[str, Any]:
    return {"amount": _text(money), "currency": money.currency if money else None}


def _text(money: Money | None) -> str | None:
    return f"{money.amount:f}" if money else None
