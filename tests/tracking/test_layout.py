"""MLflow's files of the first Plinth are found by this one, whatever is killed on the way."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from plinth.kit.home import Home
from plinth.tracking import layout
from plinth.tracking.layout import aside, bring_forward, database_of, is_old

# The part of MLflow's schema that knows workspaces. `team-shop` is the new name of `shop`'s.
SCHEMA = """
create table workspaces (name text primary key, description text);
create table experiments (experiment_id integer primary key, name text, workspace text,
    artifact_location text, unique (workspace, name));
create table runs (run_uuid text primary key, artifact_uri text);
create table registered_models (workspace text, name text, primary key (workspace, name));
create table model_versions (workspace text, name text, version integer, source text,
    storage_location text, primary key (workspace, name, version));
create table trace_tags (request_id text, key text, value text);
insert into workspaces (name) values ('default'), ('shop'), ('team-shop');
insert into experiments values
    (0, 'Default', 'default', 'mlflow-artifacts:/workspaces/default/0'),
    (1, 'train', 'shop', 'mlflow-artifacts:/workspaces/shop/1'),
    (2, 'train', 'team-shop', 'mlflow-artifacts:/workspaces/team-shop/2');
insert into runs values ('a', 'mlflow-artifacts:/workspaces/shop/1/a/artifacts'),
    ('b', 'mlflow-artifacts:/workspaces/team-shop/2/b/artifacts'),
    ('c', 'mlflow-artifacts:/by/hand'), ('d', null);
insert into registered_models values ('shop', 'churn'), ('team-shop', 'churn');
insert into model_versions values ('shop', 'churn', 1, 'models:/m-1',
    'mlflow-artifacts:/workspaces/shop/1/models/m-1/artifacts');
insert into trace_tags values
    ('t', 'mlflow.artifactLocation', 'mlflow-artifacts:/workspaces/shop/1/traces/t/artifacts'),
    ('t', 'note', 'mlflow-artifacts:/workspaces/shop/1');
"""
TEAMS = ("default", "shop", "team-shop")
STEPS = ("_put_aside", "_rename", "_put_in_place", "_merge")


@pytest.fixture
def home() -> Iterator[Home]:
    """Give a home as the first Plinth left it."""
    root = Path(tempfile.mkdtemp(prefix="pl-"))
    home = Home(root)
    home.prepare()
    with closing(sqlite3.connect(database_of(home))) as connection:
        connection.executescript(SCHEMA)
    for place in ("workspaces/shop/1/a", "workspaces/team-shop/2/b", "workspaces/default/1", "1"):
        put(home, place)
    yield home
    shutil.rmtree(root)


def put(home: Home, place: str) -> None:
    folder = home.tracking / "artifacts" / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_text(place)


def rows(home: Home, query: str) -> list[Any]:
    with closing(sqlite3.connect(database_of(home))) as connection:
        return connection.execute(query).fetchall()


def files(home: Home) -> dict[str, str]:
    root = home.tracking / "artifacts"
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def check_new(home: Home) -> None:
    assert not is_old(home)
    assert not aside(home).exists()
    assert rows(home, "select name from workspaces order by name") == [
        ("default",),
        ("team-default",),
        ("team-shop",),
        ("team-team-shop",),
    ]
    named = "mlflow-artifacts:/workspaces"
    assert rows(home, "select workspace, artifact_location from experiments order by 2") == [
        ("team-default", f"{named}/team-default/0"),
        ("team-shop", f"{named}/team-shop/1"),
        ("team-team-shop", f"{named}/team-team-shop/2"),
    ]
    assert [uri for (uri,) in rows(home, "select artifact_uri from runs order by run_uuid")] == [
        f"{named}/team-shop/1/a/artifacts",
        f"{named}/team-team-shop/2/b/artifacts",
        "mlflow-artifacts:/by/hand",
        None,
    ]
    assert rows(home, "select * from registered_models order by 1") == [
        ("team-shop", "churn"),
        ("team-team-shop", "churn"),
    ]
    assert rows(home, "select workspace, source, storage_location from model_versions") == [
        ("team-shop", "models:/m-1", f"{named}/team-shop/1/models/m-1/artifacts")
    ]
    assert [value for (value,) in rows(home, "select value from trace_tags order by key")] == [
        f"{named}/team-shop/1/traces/t/artifacts",
        f"{named}/shop/1",
    ]
    assert files(home) == {
        "workspaces/team-default/1/file": "workspaces/default/1",
        "workspaces/team-default/before-upgrade/1/file": "1",
        "workspaces/team-shop/1/a/file": "workspaces/shop/1/a",
        "workspaces/team-team-shop/2/b/file": "workspaces/team-shop/2/b",
    }


def test_workspaces_addresses_and_files_move_together(home: Home) -> None:
    assert is_old(home)
    bring_forward(home, TEAMS)
    check_new(home)


def test_doing_it_again_changes_nothing(home: Home) -> None:
    bring_forward(home, TEAMS)
    bring_forward(home, TEAMS)
    check_new(home)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("nth", range(6))
@pytest.mark.parametrize("before", [True, False])
def test_a_kill_on_the_way_is_gone_on_from(
    home: Home, monkeypatch: pytest.MonkeyPatch, step: str, nth: int, before: bool
) -> None:
    class Killed(BaseException):
        pass

    real, calls = getattr(layout, step), iter(range(1000))

    def dies(*arguments: Any) -> None:
        is_last = next(calls) == nth
        if is_last and before:
            raise Killed
        real(*arguments)
        if is_last:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(layout, step, dies)
        with suppress(Killed):
            bring_forward(home, TEAMS)
    bring_forward(home, TEAMS)
    check_new(home)


def test_files_that_meet_others_on_the_way_are_kept_beside_them(home: Home) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "_put_in_place", lambda _home: None)
        bring_forward(home, TEAMS)
    # MLflow was started by hand, and wrote into the place that the upgrade had not filled yet.
    put(home, "workspaces/team-shop/1/a")
    put(home, "workspaces/team-shop/9")
    bring_forward(home, TEAMS)
    found = files(home)
    assert found["workspaces/team-shop/1/a/file"] == "workspaces/team-shop/1/a"
    assert found["workspaces/team-shop/before-upgrade/1/a/file"] == "workspaces/shop/1/a"
    assert found["workspaces/team-shop/9/file"] == "workspaces/team-shop/9"


def test_a_home_that_has_the_new_names_is_only_marked(home: Home) -> None:
    bring_forward(home, TEAMS)
    with closing(sqlite3.connect(database_of(home))) as connection:
        connection.execute("pragma user_version = 0")
    bring_forward(home, TEAMS)
    check_new(home)


def test_a_new_home_is_only_marked(home: Home) -> None:
    database_of(home).unlink()
    shutil.rmtree(home.tracking / "artifacts")
    bring_forward(home, TEAMS)
    assert not is_old(home)
    assert rows(home, "select count(*) from sqlite_master") == [(0,)]
    assert not (home.tracking / "artifacts").exists()
