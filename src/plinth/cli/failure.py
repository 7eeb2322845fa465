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
    sys.stderr.write(f"error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"\nhint: {error.hint}\n")
