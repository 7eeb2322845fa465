"""Names as people spell them: `Standard_D4s_v5`, `d4s v5`; `West Europe`, `westeurope`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_CLOSE = 0.6


def spelling(name: str) -> str:
    """Return a name without what people write differently: case, spaces, `-` and `_`."""
    return name.lower().translate(_WITHOUT)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` was probably meant to be, or None."""
    by_spelling = {spelling(each): each for each in names}
    found = difflib.get_close_matches(spelling(name[:60]), list(by_spelling), n=1, cutoff=_CLOSE)
    return by_spelling[found[0]] if found else None


_WITHOUT = str.maketrans("", "", " _-")
