"""What a request counts for a limit: an upper bound before it is served, the truth afterwards.

Each unit of a limit has its two functions in UNITS. Tokens are the only one; money would be
another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plinth.domain.tokens import MOST_TOKENS
from plinth.gateway.guard.limit import Asked, GuardedLimit

# English and code have about 4 bytes a token, JSON about 3, Chinese and Japanese 2 to 3; the names
# and brackets around the words add to it. Some scripts have less than 2: settling corrects it.
BYTES_PER_TOKEN = 2
LEAST_INPUT_TOKENS = 16
# What is held for a body that came in chunks, so that nobody knows its length.
UNKNOWN_INPUT_TOKENS = 4096
_INPUT = ("prompt_tokens", "input_tokens")
_OUTPUT = ("completion_tokens", "output_tokens")
# Anthropic reports them beside its input.
_BESIDE = ("cache_creation_input_tokens", "cache_read_input_tokens")


@dataclass(frozen=True, slots=True)
class Need:
    """The most that a request can count, in two parts that people can see."""

    input: int
    output: int

    @property
    def total(self) -> int:
        """Both together: what is reserved."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Unit:
    """How one unit is counted. `used` returns None for a usage that does not say."""

    need: Callable[[Asked, GuardedLimit], Need]
    used: Callable[[Mapping[str, Any]], int | None]


def tokens_needed(asked: Asked, limit: GuardedLimit) -> Need:
    """Return an upper bound of a request's tokens: by its length, and by what it wants at most."""
    if asked.body_bytes is None:
        given = UNKNOWN_INPUT_TOKENS
    else:
        given = max(LEAST_INPUT_TOKENS, -(-asked.body_bytes // BYTES_PER_TOKEN))
    if limit.most_input_tokens is not None:
        given = min(given, limit.most_input_tokens)
    wanted = asked.max_tokens
    if wanted is None:
        wanted = min(MOST_TOKENS, limit.default_max_tokens * asked.choices)
    return Need(given, wanted)


def tokens_used(usage: Mapping[str, Any]) -> int | None:
    """Return the tokens that a provider reports, of whatever shape; None where it does not.

    Providers differ in what their total holds: the larger one of total and parts counts.
    """
    total = _count(usage.get("total_tokens"))
    given, made = _first(usage, _INPUT), _first(usage, _OUTPUT)
    if total is None and given is None and made is None:
        return None
    parts = (given or 0) + (made or 0)
    if total is None:
        parts += sum(_count(usage.get(name)) or 0 for name in _BESIDE)
    return max(total or 0, parts)


def _first(usage: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    counts = (_count(usage.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)


def _count(value: object) -> int | None:
    """Return a whole number of tokens; None for anything that cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= MOST_TOKENS:
        return None
    return int(value)


UNITS: Mapping[str, Unit] = {"tokens": Unit(tokens_needed, tokens_used)}
