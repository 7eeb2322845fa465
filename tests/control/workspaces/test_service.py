"""Who may open what: one file, one name, one owner, one session at a time."""

from __future__ import annotations

import pytest

from plinth.control.workspaces.service import (
    Busy,
    remove_workspace,
    require_idle,
    resize_workspace,
    session_of,
)
from plinth.kit.errors import Conflict, Invalid, NotFound
from tests.control.plane import TEAM, Plane
from tests.control.workspaces.session import (
    opened,
    stop,
    until_stopped,
    workspace,
)
from tests.store.rows import principal_in


def test_the_same_file_again_changes_nothing_and_another_one_is_refused(plane: Plane) -> None:
    run = opened(plane).run
    assert plane.open().run == run
    with pytest.raises(Conflict, match="open with another file"):
        plane.open(profile="medium")
    stop(plane)
    with pytest.raises(Conflict, match="still being stopped"):
        plane.open()
    until_stopped(plane)
    assert plane.open(profile="medium").workload.profile == "medium"


def test_what_its_tool_needs_is_not_left_out(plane: Plane) -> None:
    with pytest.raises(Invalid, match="names `ipykernel`, which `jupyterlab` itself needs"):
        plane.open(environment={"leave_out": ["ipykernel"]})


def test_nobody_takes_another_s_name(plane: Plane) -> None:
    opened(plane)
    with plane.write() as connection:
        someone = principal_in(connection, TEAM)
    other = plane.actor().model_copy(update={"principal": someone})
    with pytest.raises(Conflict, match="is taken"):
        plane.open(by=other)


def test_what_is_shared_only_its_owner_unshares(plane: Plane) -> None:
    opened(plane, shared=True)
    with plane.write() as connection:
        someone = principal_in(connection, TEAM)
    other = plane.actor().model_copy(update={"principal": someone})
    with pytest.raises(Conflict, match="`lab` is shared, and only its owner may unshare it"):
        plane.open(by=other)
    assert plane.open(by=other, shared=True).run == workspace(plane).run


def test_another_size_is_for_one_that_is_not_open(plane: Plane) -> None:
    found = opened(plane)
    larger = found.workload.resized("medium")
    with plane.write() as connection, pytest.raises(Conflict, match="is open"):
        resize_workspace(connection, plane.context, found, larger)
    stop(plane)
    until_stopped(plane)
    with plane.write() as connection:
        resize_workspace(connection, plane.context, workspace(plane), larger)
    assert workspace(plane).workload.resources.cpu == 2.0
    assert workspace(plane).desired == "stop"


def test_one_that_is_being_removed_is_not_opened(plane: Plane) -> None:
    found = opened(plane)
    with plane.write() as connection:
        remove_workspace(connection, plane.context, found)
    with pytest.raises(Conflict, match="is being deleted"):
        plane.open()


def test_a_requirements_file_is_the_client_s_to_read(plane: Plane) -> None:
    with pytest.raises(Invalid, match="on the caller's machine"):
        plane.open(environment={"file": "requirements.txt"})


def test_data_that_is_not_there_is_refused(plane: Plane) -> None:
    with pytest.raises(NotFound, match="flights@7"):
        plane.open(data={"flights": "flights@7"})


def test_what_is_busy_is_asked_just_now(plane: Plane) -> None:
    found = opened(plane)
    with plane.database.read() as connection:
        run = session_of(connection, found)
    # Nobody listens on its socket here.
    with pytest.raises(Busy, match="does not say"):
        require_idle(plane.context, found, run)
    require_idle(plane.context, found, None)
    stop(plane)
    until_stopped(plane)
    with plane.database.read() as connection:
        run = session_of(connection, found)
    require_idle(plane.context, found, run)
