"""What a model's tokens are counted as: meters, which parts hold which, and the usage of a request.

The gateway's meter reads a response into a `TokenUsage`, and `token_cost.py` says what it costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from plinth.domain.mistake import nearest_name
from plinth.kit.errors import Invalid

# Larger than what all of mankind sends in a year; beyond it somebody mistook a unit.
MOST_TOKENS = 10**15


class TokenMeter(StrEnum):
    """What is counted in one request to a model.

    `input_tokens` holds all of the input: cached, audio, image ... tokens are parts of it. So it is
    with `output_tokens` and reasoning.
    """

    INPUT = "input_tokens"
    INPUT_TEXT = "input_text_tokens"
    INPUT_AUDIO = "input_audio_tokens"
    INPUT_IMAGE = "input_image_tokens"
    INPUT_VIDEO = "input_video_tokens"
    CACHED_INPUT = "cached_input_tokens"
    CACHED_INPUT_TEXT = "cached_input_text_tokens"
    CACHED_INPUT_AUDIO = "cached_input_audio_tokens"
    CACHED_INPUT_IMAGE = "cached_input_image_tokens"
    CACHED_INPUT_VIDEO = "cached_input_video_tokens"
    CACHE_WRITE = "cache_write_tokens"
    CACHE_WRITE_5M = "cache_write_5m_tokens"
    CACHE_WRITE_1H = "cache_write_1h_tokens"
    TOOL_INPUT = "tool_input_tokens"
    TOOL_INPUT_TEXT = "tool_input_text_tokens"
    TOOL_INPUT_AUDIO = "tool_input_audio_tokens"
    TOOL_INPUT_IMAGE = "tool_input_image_tokens"
    TOOL_INPUT_VIDEO = "tool_input_video_tokens"
    OUTPUT = "output_tokens"
    OUTPUT_TEXT = "output_text_tokens"
    OUTPUT_AUDIO = "output_audio_tokens"
    OUTPUT_IMAGE = "output_image_tokens"
    OUTPUT_VIDEO = "output_video_tokens"
    REASONING = "reasoning_tokens"
    CITATION = "citation_tokens"
    REQUESTS = "requests"
    WEB_SEARCHES = "web_searches"
    STORAGE_SEARCHES = "storage_searches"

    @property
    def per(self) -> int:
        """How many of it a price is for."""
        return 1_000_000 if self.value.endswith("_tokens") else 1_000

    @property
    def depth(self) -> int:
        """How narrow it is: a part has a larger depth than what holds it."""
        return len(_WORDS[self])

    @property
    def direction(self) -> str | None:
        """`input`, `output`, or None for what is counted beside tokens."""
        return next((side for side in ("input", "output") if side in _WORDS[self]), None)

    def contains(self, other: TokenMeter) -> bool:
        """Say whether every one of `other` is counted in this one too."""
        return _WORDS[self] < _WORDS[other]

    def joined(self, other: TokenMeter) -> TokenMeter | None:
        """Return the meter of what is both, such as cached audio; None where neither can be."""
        both = _WORDS[self] | _WORDS[other]
        return next((meter for meter in TokenMeter if _WORDS[meter] == both), None)


def _words(meter: TokenMeter) -> frozenset[str]:
    words = {*meter.value.removesuffix("_tokens").split("_")}
    if words & {"cached", "cache", "tool"}:
        words.add("input")
    if words & {"reasoning", "citation"}:
        words.add("output")
    return frozenset(words)


_WORDS: dict[TokenMeter, frozenset[str]] = {meter: _words(meter) for meter in TokenMeter}
# Found once: every request of the gateway's log is checked by it.
_HOLDERS = {
    part: tuple(whole for whole in TokenMeter if whole.contains(part)) for part in TokenMeter
}


def parse_meter(text: str) -> TokenMeter:
    """Read the name of a meter. Raises Invalid naming the nearest."""
    names = [meter.value for meter in TokenMeter]
    if text in names:
        return TokenMeter(text)
    near = nearest_name(text, names)
    raise Invalid(
        f"`{text[:60]}` is not a meter of tokens; accepted: {', '.join(names)}",
        hint=f"did you mean `{near}`?" if near else None,
    )


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """What one request used, whole numbers. A meter that is missing was not reported.

    Raises Invalid for what is no whole number from 0 to MOST_TOKENS, and where a part is more
    than the whole that holds it.
    """

    quantities: Mapping[TokenMeter, int]

    def __post_init__(self) -> None:
        for meter, quantity in self.quantities.items():
            check_quantity(meter.value, quantity)
        kept = {meter: self.quantities[meter] for meter in _HOLDERS if meter in self.quantities}
        for part, quantity in kept.items():
            for whole in _HOLDERS[part]:
                if quantity > kept.get(whole, quantity):
                    raise Invalid(
                        f"`{part}` ({quantity:,}) is more than `{whole}` ({kept[whole]:,}), "
                        "which holds it",
                        hint=f"`{whole}` counts all of them, `{part}` included",
                    )
        object.__setattr__(self, "quantities", MappingProxyType(kept))

    def __getitem__(self, meter: TokenMeter) -> int:
        """Return how many there were; 0 where the meter was not reported."""
        return self.quantities.get(meter, 0)

    def __iter__(self) -> Iterator[TokenMeter]:
        """Walk over the meters that counted something."""
        return (meter for meter, quantity in self.quantities.items() if quantity)

    def __hash__(self) -> int:
        return hash(tuple(self.quantities.items()))

    def __add__(self, other: TokenUsage) -> TokenUsage:
        """Return both together. Prices with a step at long prompts are for each request alone."""
        meters = [*self.quantities, *other.quantities]
        return TokenUsage({meter: self[meter] + other[meter] for meter in meters})

    def to_json(self) -> dict[str, int]:
        """Return the reported meters by name."""
        return {meter.value: quantity for meter, quantity in self.quantities.items()}


def check_quantity(name: str, quantity: object) -> None:
    """Raise Invalid for what is no whole number from 0 to MOST_TOKENS."""
    if not isinstance(quantity, int) or isinstance(quantity, bool):
        raise Invalid(f"`{name}` is `{str(quantity)[:40]}`; a whole number is accepted")
    if not 0 <= quantity <= MOST_TOKENS:
        shown = f"{quantity:,}" if abs(quantity) < 10**24 else "a number of more than 24 digits"
        raise Invalid(f"`{name}` is {shown}; 0 to {MOST_TOKENS:,} are accepted")
