"""Workspaces are kept with their file, their session and what was seen of it."""

from __future__ import annotations

import pytest

from plinth.domain.workspace import Workspace
from plinth.kit.errors import NotFound
from plinth.store.session import Database
from plinth.store.workspaces import (
    Activity,
    StoredWorkspace,
    add_workspace,
    delete_workspace,
    file_json,
    find_workspace,
    get_workspace,
    list_sessions,
    list_workspaces,
    want_workspace,
)
from tests.store.rows import NOW, later, principal_in


def made(owner: str, name: str = "lab", team: str = "research") -> StoredWorkspace:
    workload = Workspace.model_validate({"kind": "workspace", "name": name, "team": team})
    return StoredWorkspace(
        name=name,
        team=team,
        owner=owner,
        workload=workload,
        activity=Activity(seen_at=NOW, busy=("a.ipynb",), ready_s=2.5),
        created_at=NOW,
        created_by=owner,
        updated_at=NOW,
    )


def test_what_was_kept_is_read_again(database: Database) -> None:
    with database.write() as connection:
        owner = principal_in(connection, "research").id
        for name in ("lab", "attic"):
            add_workspace(connection, made(owner, name))
        assert find_workspace(connection, "lab") == made(owner)
        assert [each.name for each in list_workspaces(connection)] == ["attic", "lab"]
        assert list_sessions(connection, "research", "lab") == []


def test_the_intent_changes_and_the_rest_stays(database: Database) -> None:
    with database.write() as connection:
        owner = principal_in(connection, "research").id
        kept = made(owner)
        add_workspace(connection, kept)
        larger = kept.workload.resized("large")
        want_workspace(
            connection, "lab", desired="stop", now=later(5), workload=file_json(larger), run="r_1"
        )
        found = get_workspace(connection, "lab")
        assert (found.desired, found.run, found.workload) == ("stop", "r_1", larger)
        assert found.activity == kept.activity
        assert found.updated_at == later(5)


def test_one_that_was_deleted_is_not_found(database: Database) -> None:
    with database.write() as connection:
        add_workspace(connection, made(principal_in(connection, "research").id))
        delete_workspace(connection, "lab")
        assert find_workspace(connection, "lab") is None
        with pytest.raises(NotFound, match="`lab`"):
            get_workspace(connection, "lab")
