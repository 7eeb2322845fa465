"""Count one answer's tokens: what its provider reported, and an estimate where it did not.

Pure. The gateway's log is read with it, by metering and by the guard. Providers are told apart by
the shape of what they report, as the gateway does not know who stands behind an address. A number
that cannot be true is never counted: it becomes an estimate, marked as one, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plinth.domain.tokens import TokenMeter, TokenUsage

# The longest contexts sold hold ten million tokens; more in one request is a mistaken number.
MOST_TOKENS_OF_REQUEST = 10**8

# OpenAI's rule of thumb for English: "1 token ~= 4 chars" (its help page "What are tokens and how
# to count them?", read 2026-11-23). A JSON body holds names and quotes too, so an input is rather
# overstated; other scripts take more tokens for their bytes, up to one for three.
BYTES_PER_TOKEN = 4
# What is larger is mostly pictures, as base64: a picture of a megabyte is some thousand tokens.
MOST_ESTIMATED_INPUT = 128_000
# One event of a stream carries one token in OpenAI's format; the example chunk of its API
# description (2026-08-21) has 234 bytes with its frame. Servers that send several at once are
# understated.
BYTES_PER_EVENT = 234

_M = TokenMeter
_Path = tuple[str, ...]
# Where a number stands, by the provider's own names. The first that is there counts.
_INPUT: tuple[_Path, ...] = (
    ("prompt_tokens",),
    ("input_tokens",),
    ("inputTokens",),
    ("tokens", "input_tokens"),
    ("billed_units", "input_tokens"),
    ("promptTokenCount",),
    ("in",),
)
_OUTPUT: tuple[_Path, ...] = (
    ("completion_tokens",),
    ("output_tokens",),
    ("outputTokens",),
    ("tokens", "output_tokens"),
    ("billed_units", "output_tokens"),
    ("candidatesTokenCount",),
    ("out",),
)
_CACHED: tuple[_Path, ...] = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("cache_read_input_tokens",),
    ("cacheReadInputTokens",),
    ("cachedContentTokenCount",),
    ("prompt_cache_hit_tokens",),
    ("num_cached_tokens",),
    ("cached_tokens",),
    ("cached",),
)
_REASONING: tuple[_Path, ...] = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "thinking_tokens"),
    ("thoughtsTokenCount",),
    ("reasoning_tokens",),
    ("reasoning",),
)
_TOTAL: tuple[_Path, ...] = (("total_tokens",), ("totalTokens",), ("totalTokenCount",))
# Counted beside the input by Anthropic and Bedrock, where others count them within it; each with
# the name of the input that it stands beside.
_BESIDE_INPUT: dict[str, tuple[_Path, ...]] = {
    "input_tokens": (("cache_read_input_tokens",), ("cache_creation_input_tokens",)),
    "inputTokens": (("cacheReadInputTokens",), ("cacheWriteInputTokens",)),
    "promptTokenCount": (("toolUsePromptTokenCount",),),
}
_WHOLE = {_M.CACHED_INPUT: _M.INPUT, _M.REASONING: _M.OUTPUT}
_BESIDE_OUTPUT: dict[str, tuple[_Path, ...]] = {"candidatesTokenCount": (("thoughtsTokenCount",),)}


@dataclass(frozen=True, slots=True)
class Reported:
    """What a provider's usage says. `doubts`: what it said that cannot be true, for a log.

    Of `usage` the four meters that are billed; one that is missing was not said, or is doubted.
    `clipped`: parts that were more than their whole, and are as much as it now.
    """

    usage: TokenUsage
    clipped: frozenset[TokenMeter] = frozenset()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the gateway itself saw of a request; bytes of bodies.

    `events`: of a stream, as many as passed; None where nobody counted. `max_tokens`: what the
    caller allowed. `has_output`: not for embeddings.
    """

    request_bytes: int
    answer_bytes: int
    is_stream: bool = False
    events: int | None = None
    max_tokens: int | None = None
    has_output: bool = True


@dataclass(frozen=True, slots=True)
class TokenCount:
    """What one request is charged for, and of which meters that is an estimate."""

    usage: TokenUsage
    estimated: frozenset[TokenMeter] = frozenset()
    doubts: tuple[str, ...] = ()


def read_usage_object(value: Mapping[str, Any]) -> Reported:
    """Read a provider's usage object by its shape; single numbers go by `in`, `out` ... too.

    Knows OpenAI (chat, completions, embeddings, responses) and Azure OpenAI, and by them llama.cpp
    and vLLM, Anthropic, Bedrock, Cohere and Gemini. A part that is more than its whole is cut to
    the whole. Never raises.
    """
    doubts: list[str] = []
    given = _whole_of(value, _INPUT, _BESIDE_INPUT, doubts)
    made = _whole_of(value, _OUTPUT, _BESIDE_OUTPUT, doubts)
    cached, reasoning = _first(value, _CACHED, doubts), _first(value, _REASONING, doubts)
    if made is None and reasoning is not None and "thoughtsTokenCount" in value:
        made = reasoning  # Gemini counts what it thought beside what it said, here nothing
    total = _first(value, _TOTAL, doubts)
    if total is not None and not doubts:
        # The total of an embedding is its input; who reports two of the three means the third.
        if given is None and made is not None:
            given = max(0, total - made)
        elif made is None and given is not None and total > given:
            made = total - given
    said = {_M.INPUT: given, _M.OUTPUT: made}
    found = {meter: number for meter, number in said.items() if number is not None}
    clipped = set()
    for part, number in ((_M.CACHED_INPUT, cached), (_M.REASONING, reasoning)):
        whole = found.get(_WHOLE[part])
        if number is None or whole is None:
            continue
        if number > whole:
            doubts.append(f"{part} are {number}, more than all of them, {whole}")
            clipped.add(part)
        found[part] = min(number, whole)
    return Reported(TokenUsage(found), frozenset(clipped), tuple(doubts))


def count_tokens(reported: Reported | None, seen: Seen) -> TokenCount:
    """Return what to charge: what was reported, and an estimate of the rest, marked as such."""
    known = dict(reported.usage.quantities) if reported is not None else {}
    estimated = set(reported.clipped) if reported is not None else set()
    if _M.INPUT not in known:
        known[_M.INPUT] = estimate_input(seen)
        estimated.add(_M.INPUT)
    if _M.OUTPUT not in known and seen.has_output:
        known[_M.OUTPUT] = estimate_output(seen)
        estimated.add(_M.OUTPUT)
    doubts = reported.doubts if reported is not None else ()
    if reported is not None and len(known) == len(reported.usage.quantities):
        return TokenCount(reported.usage, frozenset(estimated), doubts)
    return TokenCount(TokenUsage(known), frozenset(estimated), doubts)


def estimate_input(seen: Seen) -> int:
    """Return the tokens that a request's body may have held: a quarter of its bytes."""
    return min(_rounded_up(seen.request_bytes, BYTES_PER_TOKEN), MOST_ESTIMATED_INPUT)


def estimate_output(seen: Seen) -> int:
    """Return the tokens that the bytes or events of an answer may have held.

    Never more than the caller allowed. The first event of a stream only says who speaks.
    """
    if seen.events:
        tokens = seen.events - 1
    elif seen.is_stream:
        tokens = seen.answer_bytes // BYTES_PER_EVENT
    else:
        tokens = _rounded_up(seen.answer_bytes, BYTES_PER_TOKEN)
    most = MOST_TOKENS_OF_REQUEST if seen.max_tokens is None else max(0, seen.max_tokens)
    return min(tokens, most, MOST_TOKENS_OF_REQUEST)


def _whole_of(
    value: Mapping[str, Any],
    paths: Sequence[_Path],
    beside: Mapping[str, tuple[_Path, ...]],
    doubts: list[str],
) -> int | None:
    """Return a whole with what this provider counts beside it; None where it is not said."""
    path = next((path for path in paths if _at(value, path) is not None), None)
    if path is None:
        return None
    number = _count(_at(value, path), path, doubts)
    if number is None:
        return None
    others = (_first(value, (other,), doubts) for other in beside.get(path[0], ()))
    whole = number + sum(other or 0 for other in others)
    return _count(whole, path, doubts)


def _first(value: Mapping[str, Any], paths: Sequence[_Path], doubts: list[str]) -> int | None:
    for path in paths:
        number = _at(value, path)
        if number is not None:
            return _count(number, path, doubts)
    return None


def _at(value: object, path: _Path) -> object:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _count(number: object, path: _Path, doubts: list[str]) -> int | None:
    """Return a number of tokens; None, and a doubt, for what is none."""
    whole = int(number) if isinstance(number, float) and number.is_integer() else number
    if isinstance(whole, bool) or not isinstance(whole, int):
        doubts.append(f"{'.'.join(path)} is {repr(number)[:40]}")
        return None
    if 0 <= whole <= MOST_TOKENS_OF_REQUEST:
        return whole
    # A number of thousands of digits takes long to write.
    shown = "far too large" if whole.bit_length() > 80 else str(whole)
    doubts.append(f"{'.'.join(path)} is {shown}")
    return None


def _rounded_up(quantity: int, divisor: int) -> int:
    return -(-max(0, quantity) // divisor)
