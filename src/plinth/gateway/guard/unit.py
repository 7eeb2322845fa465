"""The guard as a unit of the node: when it is needed, its files, its command.

Only where a limit of tokens exists: then the node starts the unit, and Envoy's filters ask it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from plinth.gateway.guard.limit import GuardedLimit
from plinth.kit.home import Home

UNIT = "guard"


def needs_guard(limits: Sequence[GuardedLimit]) -> bool:
    """Say whether anything is to be guarded."""
    return bool(limits)


def limits_file(home: Home) -> Path:
    """Return where the control plane writes the limits."""
    return home.gateway / "guard.json"


def journal_file(home: Home) -> Path:
    """Return where the guard writes what it reserved."""
    return home.gateway / "guard.journal"


def command(home: Home) -> tuple[str, ...]:
    """Return the guard's command; its unit's socket, `home.socket(UNIT)`, is descriptor 3."""
    module = "plinth.gateway.guard.process"
    return (sys.executable, "-P", "-m", "plinth.kit.launch", module, "--home", str(home.root))
