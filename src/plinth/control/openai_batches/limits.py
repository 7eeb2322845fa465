"""How much of everything is accepted. The first three are OpenAI's own."""

from __future__ import annotations

from plinth.domain.base import Declared
from plinth.kit.errors import Invalid
from plinth.kit.units import format_duration, parse_duration

MOST_FILE_BYTES = 200_000_000
MOST_LINES = 50_000
FILE_DAYS = 30
# A team's files together, and its batches that have not ended.
MOST_TEAM_BYTES = 20_000_000_000
MOST_ACTIVE = 50
# As much as the gateway takes of a body.
MOST_LINE_BYTES = 16 * 2**20
LONGEST_CUSTOM_ID = 512
# So many mistakes of lines are told.
MOST_ERRORS = 100
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 1.0, 7 * 86400.0
ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")


class Expiry(Declared):
    """After how many seconds a file is forgotten, counted from its making."""

    anchor: str = "created_at"
    seconds: int

    def checked(self, field: str) -> int:
        """Return the seconds. Raises Invalid for what OpenAI refuses too."""
        if self.anchor != "created_at":
            raise Invalid(f"`{field}.anchor` is `{self.anchor[:40]}`; `created_at` is accepted")
        if not 3600 <= self.seconds <= 2_592_000:
            raise Invalid(
                f"`{field}.seconds` is {self.seconds}; 3600 (an hour) to 2592000 (30 days) are "
                "accepted"
            )
        return self.seconds


def window_s(text: str) -> float:
    """Return a completion window in seconds. Raises Invalid."""
    try:
        seconds = parse_duration(text)
    except ValueError as err:
        raise Invalid(f"`completion_window`: {err}", hint="OpenAI's own value is `24h`") from err
    if not SHORTEST_WINDOW_S <= seconds <= LONGEST_WINDOW_S:
        raise Invalid(
            f"`completion_window` is {format_duration(seconds)}; "
            f"1s to {format_duration(LONGEST_WINDOW_S)} are accepted",
            hint="OpenAI's own value is `24h`",
        )
    return seconds
