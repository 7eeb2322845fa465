"""Tell what of a home lives, also when its agent does not answer: by the locks that they hold."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from plinth.kit.errors import Temporary
from plinth.kit.home import Home
from plinth.units.client import AgentClient
from plinth.units.spec import NodeInfo

AGENT = "the node agent"
_ANSWER_S = 5.0


def ping(home: Home) -> NodeInfo | None:
    """Return what the agent says of itself; None when nobody answers."""
    try:
        return AgentClient(home.socket("agent"), timeout_s=_ANSWER_S).ping()
    except Temporary:
        return None


def living(home: Home) -> list[str]:
    """Return the agent and the units whose supervisors live, by name."""
    found = [AGENT] if is_held(home.root / "agent.lock") else []
    locks = sorted(home.units.glob("*/lock"))
    return found + [lock.parent.name for lock in locks if is_held(lock)]


def is_held(lock: Path) -> bool:
    """Tell whether a process holds the lock file; no file is no holder."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # For an instant only: an agent that meets it takes the unit for alive, and looks again.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
