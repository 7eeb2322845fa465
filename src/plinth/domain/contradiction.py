"""Fields of a declared value that do not go together, each with the field that is to blame.

What checks a value as a whole raises it; `load.py` points to the lines of the fields.
"""

from __future__ import annotations

from collections.abc import Sequence

from plinth.domain.document import Path

# The path of a field below the value that was checked, empty for the value itself; and the words.
Problem = tuple[Path, str]


class Contradiction(ValueError):
    """All that is wrong with a value as a whole. `found`: each problem with its field."""

    def __init__(self, *found: Problem) -> None:
        super().__init__("; ".join(words for _, words in found))
        self.found: Sequence[Problem] = found
