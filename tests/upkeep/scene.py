"""What probes are given in tests: a home that was started, or one that never was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.units.spec import NodeInfo, UnitState
from plinth.upkeep.finding import Scene
from tests.upkeep.stand import PORT, full_home, new_place


def scene_of(home: Home, **fields: Any) -> Scene:
    """Return the scene of a home that was started."""
    values: dict[str, Any] = {"node": {"port": PORT}, "settings": Settings()}
    return Scene(**{"home": home, "variables": os.environ, **values, **fields})


def new_scene(**fields: Any) -> Scene:
    """Return the scene of a home that was never started."""
    return scene_of(Home(new_place()), node=None, **fields)


@contextmanager
def full_scene(**fields: Any) -> Iterator[Scene]:
    """Give the scene of a home with something of everything in it."""
    with full_home() as plane:
        plane.home.root.chmod(0o700)
        yield scene_of(plane.home, **fields)


def agent(level: int = 3, boot_id: str = "b") -> NodeInfo:
    """Return an agent that answers."""
    return NodeInfo(
        pid=1, boot_id=boot_id, node="n", isolation_level=level, started_at="2026-01-01T00:00:00Z"
    )


def unit(name: str, phase: Any = "running") -> UnitState:
    """Return a unit as the agent shows it."""
    return UnitState(name, phase)
