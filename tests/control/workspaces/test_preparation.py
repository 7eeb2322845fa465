"""What a session is started with: packages, folders that it may write, and others."""

from __future__ import annotations

import pytest

from plinth.control.workspaces.preparation import (
    kernel_ports,
    personal_folder,
    team_folder,
    tool_of,
)
from plinth.domain.workspace import Workspace
from plinth.units.isolation.landlock import LISTENING
from tests.contracts import fake_engine
from tests.control.plane import TEAM, Plane
from tests.control.workspaces.session import opened


def test_only_its_own_folders_and_its_team_s_can_be_written(plane: Plane) -> None:
    run = opened(plane).run
    spec = plane.world.replicas[f"{run}.0.1"].spec
    writable = {mount.path for mount in spec.mounts if mount.writable}
    owner = plane.actor().principal.id
    files, work = plane.home.files / TEAM, plane.home.runs / str(run)
    assert writable == {
        str(files / "people" / owner),
        str(files / "team"),
        str(work / "tmp"),
    }
    assert spec.folder == spec.variables["HOME"] == str(files / "people" / owner)
    assert spec.variables["PLINTH_TEAM_FOLDER"] == str(files / "team")
    # What the browser shows are links in a folder that the session cannot change.
    shown = work / "work"
    assert str(shown) in {mount.path for mount in spec.mounts if not mount.writable}
    assert (shown / "personal").readlink() == files / "people" / owner
    assert (shown / "team").readlink() == files / "team"
    assert (files / "team").stat().st_mode & 0o777 == 0o700


def test_a_shared_one_has_its_own_files_and_nobody_s_personal_ones(plane: Plane) -> None:
    run = opened(plane, shared=True).run
    spec = plane.world.replicas[f"{run}.0.1"].spec
    assert spec.variables["HOME"] == str(plane.home.files / TEAM / "shared" / "lab")
    assert not any("/people/" in mount.path for mount in spec.mounts)


def test_folders_are_by_team_person_and_name(plane: Plane) -> None:
    alone = Workspace.model_validate({"kind": "workspace", "name": "lab"})
    shared = alone.model_copy(update={"shared": True})
    context = plane.context
    places = {
        personal_folder(context, "red", "p_ann", alone),
        personal_folder(context, "red", "p_bob", alone),
        personal_folder(context, "blue", "p_ann", alone),
        personal_folder(context, "red", "p_ann", shared),
        team_folder(context, "red"),
        team_folder(context, "blue"),
    }
    assert len(places) == 6


def test_memory_is_limited_to_the_profile_s(plane: Plane) -> None:
    run = opened(plane).run
    assert plane.world.replicas[f"{run}.0.1"].spec.memory_bytes == 2_000_000_000


@pytest.mark.parametrize(("level", "ports"), [(3, 0), (2, 100), (1, 0)])
def test_kernels_are_spoken_to_as_the_isolation_allows(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, level: int, ports: int
) -> None:
    capability = fake_engine.FakeEngine.capability.model_copy(update={"isolation": level})
    monkeypatch.setattr(fake_engine.FakeEngine, "capability", capability)
    run = opened(plane).run
    spec = plane.world.replicas[f"{run}.0.1"].spec
    assert len(spec.own_ports) == ports
    assert ("--ports" in spec.command) is (ports > 0)
    assert ("ipc" in spec.command) is (level == 3)
    assert spec.variables["JUPYTER_RUNTIME_DIR"].startswith("/tmp/jupyter") is (level == 3)


def test_the_ports_of_kernels_are_among_those_that_units_may_have() -> None:
    for run in ("r_1", "r_2", "r_abcdefghij"):
        ports = kernel_ports(run)
        assert len(ports) == 100
        assert ports[0] in LISTENING
        assert ports[-1] in LISTENING
    assert kernel_ports("r_1") == kernel_ports("r_1")


def test_each_tool_is_known() -> None:
    for name in ("jupyterlab", "marimo"):
        tool = tool_of(Workspace.model_validate({"kind": "workspace", "name": "x", "tool": name}))
        assert tool.name == name
        assert any(each.startswith(f"{name}==") for each in tool.packages)
        assert (tool.folder / tool.module.replace(".", "/")).with_suffix(".py").is_file()
