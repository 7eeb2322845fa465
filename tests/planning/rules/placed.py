"""Applications, needs and placements for the tests of rules, on the catalog's real platforms.

`need(...)` and `place(...)` are what a rule is asked with; `tried(...)` does what a rule's change
says and asks again. A catalog with imports: `tests.catalog.imported.catalog_with`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from plinth.catalog.catalog import Catalog
from plinth.catalog.platforms import capability_of, find_facts
from plinth.domain.application import Application
from plinth.domain.inventory import Inventory, Owned
from plinth.domain.need import Need, needs_of
from plinth.domain.plan import Change, CostLine, MonthCost, Outcome, Verdict
from plinth.domain.platform import Offer, Platform
from plinth.planning.change import change_declaration
from plinth.planning.context import Context, Placement
from plinth.planning.rules.rule import Ask

TODAY = date(2026, 11, 22)
GIB = 2**30


def application(part: str = "online", **fields: Any) -> Application:
    """Return an application that has this part; `fields` are those of the file."""
    whole = {"kind": "application", "name": "churn", part: {}, **fields}
    return Application.model_validate(whole)


def need(*, part: str = "online", **fields: Any) -> Need:
    """Return what one part of an application needs; `fields` are those of the file."""
    return need_of(application(part, **fields), part)


def need_of(whole: Application, part: str) -> Need:
    """Return what one part of an application needs."""
    return next(each for each in needs_of(whole) if each.name == part)


def place(
    name: str,
    region: str = "westeurope",
    *,
    cost: MonthCost | str | int | None = None,
    context: Context | None = None,
    catalog: Catalog | None = None,
    count: int = 1,
    **offer: Any,
) -> Placement:
    """Return an offer of a real platform; `offer` are fields of it, like `tier` or `model`.

    A cost that is a number is in USD.
    """
    fields = {"sku": "D4s_v5", "cpu": 4, "memory": 16 * GIB, "currency": "USD", **offer}
    made = Offer.model_validate({"region": region, **fields})
    if cost is not None and not isinstance(cost, MonthCost):
        cost = month_cost(cost)
    return Placement(
        platform=platform(name, made),
        offer=made,
        context=context or Context(today=TODAY, currency="USD"),
        catalog=catalog or Catalog(),
        count=count,
        cost=cost,
    )


def platform(name: str, *offers: Offer) -> Platform:
    """Return a real platform with these offers."""
    facts = find_facts(name)
    return Platform(
        name=name,
        description=facts.description,
        capability=capability_of(facts),
        offers=offers,
        source=facts.source,
    )


def with_facts(placement: Placement, **facts: Any) -> Placement:
    """Return the placement with other facts of its platform: `regions={"zone_redundant": None}`.

    A mapping changes fields of a group, anything else is a field of the capability itself.
    """
    capability = placement.platform.capability
    changed = {
        name: getattr(capability, name).model_copy(update=value)
        if isinstance(value, Mapping)
        else value
        for name, value in facts.items()
    }
    known = capability.model_copy(update=changed)
    return replace(placement, platform=placement.platform.model_copy(update={"capability": known}))


def owning(placement: Placement, name: str, **fields: Any) -> Placement:
    """Return the placement where the organisation owns something of the platform `name`."""
    owned = Owned.model_validate({"name": f"our-{name}", "platform": name, **fields})
    before = placement.context.inventory.owned
    inventory = Inventory(owned=(*before, owned))
    return replace(placement, context=placement.context.model_copy(update={"inventory": inventory}))


def month_cost(
    amount: str | int | None, *, high: str | None = None, currency: str = "USD"
) -> MonthCost:
    """Return what a month costs, as one line; None: unknown."""
    line = CostLine(
        what="compute",
        amount=None if amount is None else Decimal(amount),
        high=None if high is None else Decimal(high),
        how="stated by a test",
    )
    return MonthCost(currency=currency, lines=(line,))


def apply(whole: Application, change: Change, part: str = "online") -> Need:
    """Return what the part needs when the change stands in the application's file."""
    changed = change_declaration(whole, [change])
    assert isinstance(changed, Application)
    return need_of(changed, part)


def tried(
    ask: Ask, whole: Application, placement: Placement, part: str = "online"
) -> Verdict | None:
    """Ask a rule, do what its change says, and return what it says then.

    None where the question does not arise any more. See `admitted`.
    """
    said = ask(need_of(whole, part), placement)
    assert said is not None, "the question does not arise"
    change = said.change
    assert change is not None, f"no change is named: {said.reason}"
    if change.of_inventory:
        assert isinstance(change.value, dict)
        return ask(need_of(whole, part), owning(placement, change.field, **change.value))
    return ask(apply(whole, change, part), placement)


def admitted(ask: Ask, whole: Application, placement: Placement, part: str = "online") -> bool:
    """Tell whether with its change the rule says ok, or has nothing to ask any more."""
    then = tried(ask, whole, placement, part)
    return then is None or then.outcome is Outcome.OK
