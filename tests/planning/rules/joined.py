"""Parts of an application with places that were chosen, for tests of what joins them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from plinth.catalog.catalog import Catalog
from plinth.domain.application import Application
from plinth.domain.need import FUNCTIONS, needs_of
from plinth.domain.plan import Candidate, Outcome, PartPlan, Verdict
from plinth.planning.context import Context
from plinth.planning.rules.joint import joint_verdicts
from plinth.planning.rules.rule import not_ok
from tests.planning.rules.placed import GIB

# An application's file, but for its kind and name.
Fields: TypeAlias = Mapping[str, Any]


def candidate(platform: str, region: str = "westeurope", **offer: Any) -> Candidate:
    """Return a place that nothing rejects; `offer` are fields of its offer."""
    fields = {"sku": "D4s_v5", "cpu": 4, "memory": 16 * GIB, **offer}
    return Candidate.model_validate(
        {"platform": platform, "offer": {"region": region, **fields}, "verdicts": ()}
    )


def rejected(platform: str, *rules: str) -> Candidate:
    """Return a place that these rules reject."""
    verdicts = tuple(not_ok(rule, "a test says so") for rule in rules)
    return candidate(platform).model_copy(update={"verdicts": verdicts})


def part(name: str, chosen: Candidate | None, *others: Candidate) -> PartPlan:
    """Return what was found for a part."""
    return PartPlan(name=name, function=FUNCTIONS[name], chosen=chosen, rejected=others)


def joined(
    fields: Fields, context: Context | None = None, **parts: PartPlan
) -> tuple[Verdict, ...]:
    """Judge the parts of an application together; `fields` are those of its file."""
    whole = Application.model_validate({"kind": "application", "name": "churn", **fields})
    needs = needs_of(whole)
    found = tuple(parts[need.name] for need in needs)
    return joint_verdicts(needs, found, Catalog(), context or Context())


def said(verdicts: tuple[Verdict, ...], rule: str) -> Verdict:
    """Return the only verdict of a rule."""
    (found,) = (each for each in verdicts if each.rule == rule)
    return found


def outcomes(verdicts: tuple[Verdict, ...], rule: str) -> list[Outcome]:
    """Return what a rule says, as often as it says something."""
    return [each.outcome for each in verdicts if each.rule == rule]
