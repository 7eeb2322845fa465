"""E3d: people of a team share experiments, data and a folder, and nobody else has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plinth.domain.access import workspace_of
from tests.control.plane import TEAM, Plane, make_plane
from tests.control.workspaces.session import opened


@pytest.fixture
def plane() -> Iterator[Plane]:
    with make_plane() as plane:
        yield plane


def test_workspaces_of_a_team_write_one_folder_and_log_into_one_place(plane: Plane) -> None:
    folders, tokens = set(), set()
    for name in ("lab", "attic"):
        plane.open(name)
    for name in ("lab", "attic"):
        run = str(opened_run(plane, name))
        spec = plane.world.replicas[f"{run}.0.1"].spec
        folders.add(tuple(m.path for m in spec.mounts if m.writable and m.path.endswith("/team")))
        claims = plane.context.claims_of(spec.variables["MLFLOW_TRACKING_TOKEN"])
        assert claims is not None
        tokens.add(workspace_of(claims.team))
    assert folders == {(str(plane.home.files / TEAM / "team"),)}
    assert tokens == {f"team-{TEAM}"}


def test_no_other_team_s_folder_is_among_what_it_is_given(plane: Plane) -> None:
    run = str(opened(plane).run)
    spec = plane.world.replicas[f"{run}.0.1"].spec
    files = str(plane.home.files)
    given = [mount.path for mount in spec.mounts if mount.path.startswith(files)]
    assert given
    assert all(each.startswith(f"{files}/{TEAM}/") for each in given)


def opened_run(plane: Plane, name: str) -> str | None:
    def is_started() -> bool:
        found = plane.workspace(name)
        return found is not None and f"{found.run}.0.1" in plane.world.replicas

    plane.until(is_started)
    found = plane.workspace(name)
    return found.run if found else None
