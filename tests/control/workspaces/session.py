"""Drive a workspace of a control plane: open it, let time pass, stop it."""

from __future__ import annotations

from typing import Any

from plinth.control.workspaces.service import stop_workspace
from plinth.store.workspaces import StoredWorkspace
from tests.control.plane import Plane

OPEN = ("Open", "Busy", "Idle")


def workspace(plane: Plane, name: str = "lab") -> StoredWorkspace:
    found = plane.workspace(name)
    assert found is not None
    return found


def until_open(plane: Plane, name: str = "lab") -> StoredWorkspace:
    def is_open() -> bool:
        plane.says()
        return workspace(plane, name).reason in OPEN

    plane.until(is_open)
    return workspace(plane, name)


def opened(plane: Plane, **fields: Any) -> StoredWorkspace:
    plane.open(**fields)
    return until_open(plane)


def until_stopped(plane: Plane, reason: str = "Stopped") -> StoredWorkspace:
    run = workspace(plane).run
    assert run is not None
    for _ in range(100):
        if plane.run(run).closed and workspace(plane).reason == reason:
            return workspace(plane)
        plane.step(2)
    raise AssertionError(f"not stopped: {workspace(plane)}")


def until_idle(plane: Plane) -> None:
    while workspace(plane).reason != "Idle":
        plane.step(5)


def stop(plane: Plane, name: str = "lab") -> None:
    with plane.write() as connection:
        stop_workspace(connection, plane.context, workspace(plane, name))
