"""What every rule promises: its change changes its verdict, it reads no more than its scope."""

from __future__ import annotations

from dataclasses import replace

from plinth.catalog.catalog import Catalog
from plinth.domain.application import Application
from plinth.domain.need import Need
from plinth.domain.plan import Outcome
from plinth.planning.context import Placement
from plinth.planning.rules.rule import Ask, Rule, Scope
from tests.planning.rules.placed import apply, need_of, owning


def changes_hold(ask: Ask, whole: Application, placement: Placement, part: str) -> None:
    """Check that a rule which names a change rejects no more when that alone is made."""
    said = ask(need_of(whole, part), placement)
    if said is None or said.change is None:
        return
    assert said.outcome is Outcome.NOT_OK
    change = said.change
    if change.of_inventory:
        assert isinstance(change.value, dict)
        then = ask(need_of(whole, part), owning(placement, change.field, **change.value))
    else:
        then = ask(apply(whole, change, part), placement)
    # None: what was asked for is asked for no more.
    assert then is None or then.outcome is Outcome.OK, f"{said} then {then}"


def keeps_its_scope(rule: Rule, need: Need, placement: Placement) -> None:
    """Check that what is outside of a rule's scope does not change what it says."""
    if rule.scope is not Scope.WAY:
        return
    elsewhere = placement.offer.model_copy(update={"region": "-", "sku": "-", "cpu": 0.0})
    other = replace(placement, offer=elsewhere, catalog=Catalog(), count=7, cost=None)
    assert rule.ask(need, placement) == rule.ask(need, other)
