"""From tokens to the text that may be sent: whole characters only, and nothing past a stop string.

Standard library only, and pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_BROKEN = "\ufffd"
# So many broken ones may be the beginning of one character, of which each byte has a token.
_MOST_BROKEN = 3
_LONGEST_WINDOW = 64

Decode = Callable[[Sequence[int]], str]


class Detokenizer:
    """Turn tokens into text as they come. `decode` is the tokenizer's own.

    A character of several tokens is held back until it is whole. Each call decodes only what came
    since the last whole character and the piece before it: some tokenizers write a token another
    way when it is the first.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._before = 0  # how many of the tokens were told before, and only lead the others
        self._sent = 0  # how many characters of the others were told

    def add(self, tokens: Sequence[int]) -> str:
        """Return the text that is whole with these tokens; often one piece, sometimes nothing."""
        self._tokens.extend(tokens)
        text = self._new()
        broken = len(text) - len(text.rstrip(_BROKEN))
        # A model may write the sign for a broken character itself, so the wait has an end.
        if broken == 0 or len(self._tokens) > _LONGEST_WINDOW:
            piece = text[self._sent :]
            self._tokens = self._tokens[self._before :]
            self._before, self._sent = len(self._tokens), 0
            return piece
        piece = text[self._sent : len(text) - min(broken, _MOST_BROKEN)]
        self._sent += len(piece)
        return piece

    def end(self) -> str:
        """Return what is left, a broken character included."""
        return self._new()[self._sent :]

    def _new(self) -> str:
        if len(self._tokens) == self._before:
            return ""
        lead = self._decode(self._tokens[: self._before]) if self._before else ""
        return self._decode(self._tokens)[len(lead) :]


class StopScanner:
    """Let text through up to the first stop string, wherever pieces are cut."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = False

    def add(self, piece: str) -> str:
        """Return what may be sent now; what may be the beginning of a stop string is held back."""
        if self.found:
            return ""
        text = self._held + piece
        # The one that is whole first, as it would be if the text came letter by letter.
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.found, self._held = True, ""
            return text[: min(found)[1]]
        kept = self._beginning(text)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def end(self) -> str:
        """Return what was held back: nothing follows that could complete a stop string."""
        held, self._held = self._held, ""
        return "" if self.found else held

    def _beginning(self, text: str) -> int:
        """Return how many characters at the end may begin a stop string."""
        longest = max((len(stop) for stop in self._stops), default=0)
        for length in range(min(longest - 1, len(text)), 0, -1):
            end = text[len(text) - length :]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0
