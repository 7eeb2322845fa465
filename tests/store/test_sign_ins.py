"""Links are used once, and remembered as long as the keys that came of them."""

from __future__ import annotations

from sqlalchemy import Connection

from plinth.store.identities import add_key, find_key, revoke_key
from plinth.store.session import Database
from plinth.store.sign_ins import SignIn, add_sign_in, find_sign_in, note_made, use_sign_in
from tests.store.rows import NOW, later, principal_in

CODE = "a" * 64


def make(connection: Connection, digest: str = CODE) -> SignIn:
    holder = principal_in(connection, "research")
    key = add_key(connection, principal=holder, label="x", expires_at=later(900), now=NOW)
    made = SignIn(
        digest=digest,
        principal=holder.id,
        key=key.id,
        page="mlflow",
        created_at=NOW,
        expires_at=later(90),
    )
    add_sign_in(connection, made)
    return made


def test_a_link_is_used_once(database: Database) -> None:
    with database.write() as connection:
        made = make(connection)
        assert find_sign_in(connection, CODE) == made
        assert use_sign_in(connection, CODE, "mlflow", later(89))
        assert not use_sign_in(connection, CODE, "mlflow", later(89))
        found = find_sign_in(connection, CODE)
        assert found is not None
        assert found.used_at == later(89)


def test_a_link_that_expired_or_was_never_made_is_not_used(database: Database) -> None:
    with database.write() as connection:
        make(connection)
        assert not use_sign_in(connection, CODE, "mlflow", later(90))
        assert not use_sign_in(connection, "b" * 64, "mlflow", NOW)
        found = find_sign_in(connection, CODE)
        assert found is not None
        assert found.used_at is None
        assert find_sign_in(connection, "b" * 64) is None


def test_a_link_is_none_on_another_page(database: Database) -> None:
    with database.write() as connection:
        make(connection)
        for page in ("console", "mlflo", ""):
            assert not use_sign_in(connection, CODE, page, NOW)
        assert use_sign_in(connection, CODE, "mlflow", NOW)


def test_a_use_that_is_rolled_back_never_happened(database: Database) -> None:
    with database.write() as connection:
        make(connection)
    try:
        with database.write() as connection:
            assert use_sign_in(connection, CODE, "mlflow", NOW)
            raise RuntimeError("killed before the commit")
    except RuntimeError:
        pass
    with database.write() as connection:
        assert use_sign_in(connection, CODE, "mlflow", NOW)


def test_with_a_key_go_the_browsers_that_signed_in_by_it(database: Database) -> None:
    with database.write() as connection:
        made = make(connection)
        holder = principal_in(connection, "research")
        browser = add_key(
            connection, principal=holder, label="browser", expires_at=later(900), now=NOW
        )
        other = add_key(connection, principal=holder, label="x", expires_at=later(900), now=NOW)
        note_made(connection, CODE, browser.id)
        revoke_key(connection, made.key, later(5))
        assert find_key(connection, made.key).revoked_at == later(5)
        assert find_key(connection, browser.id).revoked_at == later(5)
        assert find_key(connection, other.id).revoked_at is None


def test_old_links_are_forgotten_when_new_ones_are_made(database: Database) -> None:
    with database.write() as connection:
        made = make(connection)
        days = [
            made.model_copy(
                update={
                    "digest": name * 64,
                    "created_at": later(day * 86400),
                    "expires_at": later(day * 86400 + 90),
                }
            )
            for name, day in (("c", 1.9), ("d", 2.1))
        ]
        add_sign_in(connection, days[0])
        assert find_sign_in(connection, CODE) is not None
        add_sign_in(connection, days[1])
        assert find_sign_in(connection, CODE) is None
        assert find_sign_in(connection, "c" * 64) is not None
