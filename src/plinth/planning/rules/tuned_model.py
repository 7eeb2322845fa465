"""T6: where a model is hosted decides how it may be tuned, and which models may be."""

from __future__ import annotations

from plinth.catalog.catalog import Catalog
from plinth.catalog.meter_name import Counted, MeterName
from plinth.catalog.names import spelling
from plinth.domain.need import Need
from plinth.domain.plan import Verdict
from plinth.planning.context import Placement
from plinth.planning.rules.rule import listed, not_ok, ok, set_field, unknown

# Only their provider has these models' weights.
_CLOSED = ("gpt-3", "gpt-4", "gpt-5", "o1", "o3", "o4", "claude-", "gemini-")
_OPENAI = "Azure OpenAI"
# Hosted models whose weights are published all the same.
_PUBLISHED = frozenset({"Azure OpenAI OSS Models", "Azure Llama Models", "Azure Deepseek Models"})
_REINFORCED = "training-rft"
_TUNED = "fine-tuned"


def method_allowed(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it offers the method of tuning that is asked for."""
    wanted = need.method
    if wanted is None:
        return None
    methods = placement.platform.capability.tuning.methods
    if methods is None:
        fact = f"`tuning.methods` is missing in platforms/{placement.platform.name}.yaml"
        return unknown("T6", f"whether it tunes by `{wanted}` is not known: {fact}")
    if wanted in methods:
        return ok("T6", f"tunes by `{wanted}`")
    reason = f"tuning by `{wanted}` is asked for; it offers {listed(methods) or 'none'}"
    return not_ok("T6", reason, set_field(need, "method", methods[0]) if methods else None)


def model_tunable(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the model that is tuned can be tuned where it, or its weights, would be."""
    base = need.base_model
    if base is None:
        return None
    models = placement.platform.capability.tuning.models
    if models == "any":
        return _by_weights(base, placement.catalog)
    if models == "hosted":
        return _by_provider(need, base, placement)
    if models == "none":
        return not_ok("T6.model", f"`{base}` is to be tuned; it tunes no model")
    fact = f"`tuning.models` in platforms/{placement.platform.name}.yaml does not say"
    return unknown("T6.model", f"whether it can tune `{base}` is not known: {fact}")


def is_closed(base: str, catalog: Catalog) -> bool | None:
    """Return whether only a model's provider has its weights; None: unknown.

    A model that the catalog has no meter for is nobody's to host: its weights are somewhere.
    """
    if base.lower().startswith(_CLOSED):
        return True
    products = _products(base, catalog)
    if not products or not products.isdisjoint(_PUBLISHED):
        return False
    return True if any(each.startswith(_OPENAI) for each in products) else None


def _by_weights(base: str, catalog: Catalog) -> Verdict:
    closed = is_closed(base, catalog)
    if closed is None:
        reason = f"it tunes weights that you bring; whether those of `{base}` are to be had is not"
        return unknown("T6.model", f"{reason} known: its provider says")
    if closed:
        reason = f"it tunes weights that you bring, and only its provider has those of `{base}`"
        return not_ok("T6.model", reason)
    return ok("T6.model", f"runs your own code on the weights of `{base}`, which you bring")


def _by_provider(need: Need, base: str, placement: Placement) -> Verdict:
    name = placement.platform.name
    # It is not known of another provider's service which models it tunes.
    if not name.startswith("azure-openai"):
        return unknown("T6.model", f"which of its models `{name}` tunes is not known")
    trained = _trainings(base, placement.catalog)
    if not trained:
        if any(_TUNED in each.options for each in _names(base, placement.catalog)):
            reason = f"`{base}` has prices for a tuned one, and none that is named as training"
            return unknown("T6.model", reason)
        has_price = bool(_products(base, placement.catalog))
        reason = "the price list has no training of it" if has_price else "it is not among them"
        return not_ok("T6.model", f"it tunes models that it hosts; of `{base}`, {reason}")
    offered = placement.platform.capability.tuning.methods or ()
    methods = tuple(each for each in offered if (each == "reinforcement") in trained)
    if need.method is None or need.method in methods:
        return ok("T6.model", f"hosts `{base}` and tunes it by {listed(methods) or 'its own way'}")
    reason = f"`{base}` is tuned there by {listed(methods) or 'nothing'}, not by `{need.method}`"
    change = set_field(need, "method", methods[0]) if methods else None
    return not_ok("T6.model", reason, change)


def _trainings(base: str, catalog: Catalog) -> frozenset[bool]:
    """Return which trainings Azure OpenAI has a price for: True by reinforcement, False others."""
    names = (name for name in _names(base, catalog) if name.counted is Counted.TRAINING)
    return frozenset(_REINFORCED in name.options for name in names)


def _names(base: str, catalog: Catalog) -> tuple[MeterName, ...]:
    """Return what Azure OpenAI's meters of a model count."""
    meters = catalog.meters
    if spelling(base) not in meters.models:
        return ()
    found = (each for each in meters.find(base) if each.product.startswith(_OPENAI))
    return tuple(meters.name_of(each) for each in found)


def _products(base: str, catalog: Catalog) -> frozenset[str]:
    """Return the products of the price list that a model is in; none where it has no meter."""
    meters = catalog.meters
    if spelling(base) not in meters.models:
        return frozenset()
    return frozenset(each.product for each in meters.find(base))
