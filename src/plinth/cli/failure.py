"""How an error looks on the terminal: what is wrong, and what to do next."""

from __future__ import annotations

import json
import sys

from plinth.kit.errors import PlinthError


def report(error: PlinthError) -> None:
    """Write the error to standard error; as JSON when the call asked for `--json`."""
    if "--json" in sys.argv:
        sys.stderr.write(json.dumps(error.to_json()) + "\n")
        return
    sys.stderr.write(f"error: {_plain(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"\nhint: {_plain(error.hint)}\n")


def _plain(text: str) -> str:
    """Escape what a terminal would obey: a value of a file or an answer may stand in the text."""
    return "".join(
        each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text
    )
