"""Secrets as rows: one version each, numbers that never come again, wrapped anew by comparison."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from plinth.store import tables
from plinth.store.secrets import (
    StoredSecret,
    add_use,
    change_wrapping,
    delete_secret,
    find_secret,
    has_use,
    is_retired,
    list_secrets,
    list_wrapped,
    next_version,
    no_secret,
    put_secret,
    retire_master_keys,
    uses_of,
    version_of,
)
from plinth.store.session import Database
from tests.store.rows import NOW, later, principal_in

TEAM, NAME = "research", "openai"


def secret_of(**fields: Any) -> StoredSecret:
    return StoredSecret.model_validate(
        {
            "team": TEAM,
            "name": NAME,
            "version": 1,
            "master_key": "m_1",
            "wrapped_key": b"\x00wrapped\xff",
            "nonce": b"\x00" * 12,
            "ciphertext": b"\xff\x00sealed",
            "set_at": NOW,
            "set_by": "p_gone",
            **fields,
        }
    )


def fill(database: Database) -> None:
    """Put one secret into a store."""
    with database.write() as connection:
        principal_in(connection, TEAM)
        put_secret(connection, secret_of())


def test_a_secret_comes_back_byte_for_byte(database: Database) -> None:
    fill(database)
    with database.read() as connection:
        assert find_secret(connection, TEAM, NAME) == secret_of()
        assert version_of(connection, TEAM, NAME) == 1
        assert find_secret(connection, TEAM, "azure") is None
        assert find_secret(connection, "other", NAME) is None
        assert version_of(connection, "other", NAME) is None


def test_the_next_version_takes_the_place_of_the_one_before(database: Database) -> None:
    fill(database)
    second = secret_of(version=2, ciphertext=b"new", master_key="m_2", set_at=later(5))
    with database.write() as connection:
        assert next_version(connection, TEAM, NAME) == 2
        put_secret(connection, second)
        assert find_secret(connection, TEAM, NAME) == second
        assert len(connection.execute(select(tables.secret)).all()) == 1


def test_a_version_is_never_written_twice(database: Database) -> None:
    fill(database)
    with pytest.raises(IntegrityError), database.write() as connection:
        put_secret(connection, secret_of(ciphertext=b"other"))
    with database.read() as connection:
        assert find_secret(connection, TEAM, NAME) == secret_of()


def test_a_deleted_secret_has_no_content_and_its_number_does_not_come_again(
    database: Database,
) -> None:
    fill(database)
    with database.write() as connection:
        add_use(connection, secret_of(), "endpoint/chat", NOW)
        delete_secret(connection, TEAM, NAME, later(1))
    with database.read() as connection:
        assert find_secret(connection, TEAM, NAME) is None
        assert version_of(connection, TEAM, NAME) is None
        assert (list_secrets(connection), list_wrapped(connection)) == ([], [])
        (row,) = connection.execute(select(tables.secret)).all()
        assert (row.ciphertext, row.wrapped_key, row.nonce, row.master_key) == (None,) * 4
        assert connection.execute(select(tables.secret_use)).all() == []
        assert next_version(connection, TEAM, NAME) == 2
    with database.write() as connection:
        put_secret(connection, secret_of(version=2))
        assert version_of(connection, TEAM, NAME) == 2
        assert list_secrets(connection)[0].uses == ()


def test_secrets_are_listed_without_content_with_who_set_them_and_uses(database: Database) -> None:
    fill(database)
    with database.write() as connection:
        anna = principal_in(connection, "ops")
        put_secret(connection, secret_of(team="ops", name="b", set_by=anna.id))
        put_secret(connection, secret_of(team="ops", name="a", set_by=anna.id))
        for purpose in ("endpoint/chat", "endpoint/all"):
            add_use(connection, secret_of(), purpose, NOW)
        found = list_secrets(connection)
    assert [(each.team, each.name) for each in found] == [("ops", "a"), ("ops", "b"), (TEAM, NAME)]
    assert (found[0].set_by_name, found[2].set_by_name) == (anna.name, None)
    assert found[2].uses == ("endpoint/all", "endpoint/chat")
    fields = {"team", "name", "version", "set_at", "set_by", "set_by_name", "uses"}
    assert set(found[0].model_dump()) == fields


def test_a_use_is_of_one_version(database: Database) -> None:
    fill(database)
    second = secret_of(version=2)
    with database.write() as connection:
        add_use(connection, secret_of(), "endpoint/chat", NOW)
        assert has_use(connection, TEAM, NAME, "endpoint/chat", 1)
        assert not has_use(connection, TEAM, NAME, "endpoint/chat", 2)
        assert not has_use(connection, TEAM, NAME, "endpoint/other", 1)
        put_secret(connection, second)
        assert uses_of(connection, TEAM, NAME, 2) == ()
        add_use(connection, second, "endpoint/chat", later(1))
        assert uses_of(connection, TEAM, NAME, 2) == ("endpoint/chat",)
        assert len(connection.execute(select(tables.secret_use)).all()) == 1


def test_a_wrapping_changes_only_if_it_is_still_the_one_that_was_seen(database: Database) -> None:
    fill(database)
    before = secret_of()
    after = before.model_copy(update={"master_key": "m_2", "wrapped_key": b"again"})
    with database.write() as connection:
        (wrapped,) = list_wrapped(connection)
        assert (wrapped.master_key, wrapped.wrapped_key) == ("m_1", before.wrapped_key)
        assert change_wrapping(connection, wrapped, after)
        assert find_secret(connection, TEAM, NAME) == after
        assert not change_wrapping(connection, wrapped, after)
        put_secret(connection, secret_of(version=2))
        (newer,) = list_wrapped(connection)
        assert not change_wrapping(connection, newer.model_copy(update={"version": 1}), after)
        assert find_secret(connection, TEAM, NAME) == secret_of(version=2)


def test_a_retired_master_key_stays_retired(database: Database) -> None:
    fill(database)
    with database.write() as connection:
        assert not is_retired(connection, "m_1")
        retire_master_keys(connection, ["m_1", "m_2"], NOW)
        retire_master_keys(connection, ["m_1"], later(1))
        assert is_retired(connection, "m_1")
        assert not is_retired(connection, "m_3")


def test_what_is_absent_is_told_with_the_way_to_it() -> None:
    error = no_secret(TEAM, NAME)
    assert "team `research` has no secret `openai`" in error.message
    assert "`plinth secrets set openai --team research`" in str(error.hint)
