"""The limits that the guard holds, and which of them a request counts for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT_MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as limits go. What is not known is None.

    `body_bytes`: the length of its body. `max_tokens`: the most output that it wants,
    of all its answers together. `choices`: how many answers it wants, where it does not say that.
    """

    endpoint: str | None = None
    team: str | None = None
    key: str | None = None
    model: str | None = None
    body_bytes: int | None = None
    max_tokens: int | None = None
    choices: int = 1


@dataclass(frozen=True, slots=True)
class GuardedLimit:
    """At most `per_minute` units in any minute, for the requests that match every given field.

    `each`: not for all of them together, but for every `team` or `key` by itself. `owner`: the
    endpoint whose file says it. `default_max_tokens`: the output of a request that does not say.
    `most_input_tokens`: no request has more input, such as the model's context; None: unknown.
    """

    id: str
    per_minute: int
    unit: str = "tokens"
    endpoint: str | None = None
    team: str | None = None
    key: str | None = None
    model: str | None = None
    each: str | None = None
    owner: str | None = None
    default_max_tokens: int = DEFAULT_MAX_TOKENS
    most_input_tokens: int | None = None

    def account(self, asked: Asked) -> str:
        """Return the name of what a request counts for: the limit's, or its own under it."""
        if self.each is None:
            return self.id
        return f"{self.id}:{asked.team if self.each == 'team' else asked.key}"


class LimitTable:
    """Limits by what they are about: found by a few lookups, however many there are."""

    def __init__(self, limits: Iterable[GuardedLimit] = (), version: str = "") -> None:
        self.version = version
        self._found: dict[tuple[str | None, ...], tuple[GuardedLimit, ...]] = {}
        for limit in limits:
            about = (limit.endpoint, limit.team, limit.key, limit.model)
            self._found[about] = (*self._found.get(about, ()), limit)
        shapes = {tuple(aspect is not None for aspect in about) for about in self._found}
        self._shapes = sorted(shapes)

    def __len__(self) -> int:
        return sum(map(len, self._found.values()))

    def matching(self, asked: Asked) -> list[GuardedLimit]:
        """Return every limit that the request counts for."""
        found: list[GuardedLimit] = []
        for endpoint, team, key, model in self._shapes:
            about = (
                asked.endpoint if endpoint else None,
                asked.team if team else None,
                asked.key if key else None,
                asked.model if model else None,
            )
            found += self._found.get(about, ())
        return found
