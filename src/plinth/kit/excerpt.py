"""What somebody sent, as a message may repeat it: one line, of bounded length.

For names, ids and values that came from outside and are told back to their sender, or logged.
"""

from __future__ import annotations

LONGEST = 80


def excerpt(text: object, longest: int = LONGEST) -> str:
    """Return `text` with at most `longest` characters, an ellipsis at the end when it was cut.

    What cannot be printed, like the end of a line or a terminal's commands, is shown escaped.
    """
    # Escaped, a character has up to ten; more of the text than this is never shown.
    plain = str(text)[: longest + 1]
    safe = "".join(each if each.isprintable() else _escaped(each) for each in plain)
    return safe if len(safe) <= longest else safe[: longest - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
