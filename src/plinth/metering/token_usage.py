"""The token usage that a response of a model's provider reports about itself.

The meter of the gateway calls it with each decoded response, or the last event of a stream. Where a
provider's responses hold their numbers is data of the catalog. It never guesses: what is not there
is not reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from plinth.catalog.token_prices import TokenPriceBook, matches
from plinth.domain.token_cost import TokenCost
from plinth.domain.tokens import TokenMeter, TokenUsage
from plinth.kit.errors import Invalid, NotFound


@dataclass(frozen=True, slots=True)
class Reported:
    """What a response says: the model that answered, None where it does not say, and its usage."""

    model: str | None
    usage: TokenUsage


def flavours(book: TokenPriceBook, provider: str) -> tuple[str, ...]:
    """Return the kinds of responses that a provider has, such as `chat` and `responses`."""
    return tuple(each["flavour"] for each in book.responses(provider))


def read_usage(
    book: TokenPriceBook, response: object, *, provider: str, flavour: str = "default"
) -> Reported:
    """Read the usage out of a decoded response.

    Raises NotFound for a provider or flavour that is not known, Invalid where the response holds no
    usage, or numbers that contradict each other.
    """
    known = {each["flavour"]: each for each in book.responses(provider)}
    if flavour not in known:
        named = ", ".join(known) or "none"
        raise NotFound(f"`{provider}` has no responses of the kind `{flavour}`; known: {named}")
    shape = known[flavour]
    root = _at(response, shape["root"])
    if not isinstance(root, Mapping):
        raise Invalid(f"the response has no object `{_dotted(shape['root'])}`")
    quantities: dict[TokenMeter, int] = {}
    for path, meter, is_required in shape["meters"]:
        number = _at(root, path)
        if number is None and not is_required:
            continue
        # Several places may count into one meter: Anthropic reports cached input beside the rest.
        name = TokenMeter(meter)
        quantities[name] = quantities.get(name, 0) + _whole(number, [*shape["root"], *path])
    if not quantities:
        raise Invalid(f"`{_dotted(shape['root'])}` of the response counts nothing")
    model = _at(response, shape["model"])
    return Reported(model if isinstance(model, str) else None, TokenUsage(quantities))


def cost_of_response(
    book: TokenPriceBook,
    response: object,
    *,
    provider: str,
    flavour: str = "default",
    at: datetime,
    tier: str | None = None,
) -> TokenCost:
    """Return what a response cost; unknown where it names no model, or one without a price.

    Raises what `read_usage` raises.
    """
    reported = read_usage(book, response, provider=provider, flavour=flavour)
    if reported.model is None:
        return TokenCost(None, (), why_unknown="the response does not say which model answered")
    return book.cost(reported.model, reported.usage, provider=provider, at=at, tier=tier)


def _at(value: object, path: list[Any]) -> object:
    """Return what stands at the end of a path, None where it leads nowhere."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, Mapping) else None
        else:
            value = _item(value, step)
    return value


def _item(value: object, wanted: Mapping[str, Any]) -> object:
    items = value if isinstance(value, list) else []
    for item in items:
        name = item.get(wanted["where"]) if isinstance(item, Mapping) else None
        if isinstance(name, str) and matches(wanted["is"], name.lower()):
            return item
    return None


def _whole(number: object, path: list[Any]) -> int:
    """Return a count. Some providers write whole numbers with a point."""
    if isinstance(number, float) and number.is_integer():
        return int(number)
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    if number is None:
        raise Invalid(f"the response has no `{_dotted(path)}`")
    raise Invalid(f"`{_dotted(path)}` of the response is `{str(number)[:40]}`, not a whole number")


def _dotted(path: list[Any]) -> str:
    return ".".join(step if isinstance(step, str) else f"[{step['is']}]" for step in path)
