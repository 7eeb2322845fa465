"""What is known of PostgreSQL without a server: its address, its secrets, its troubles.

The store's suite runs on a real one in tests/journeys/test_store_postgres.py.
"""

from __future__ import annotations

import importlib.abc
import logging
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import DataError, DBAPIError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from plinth.kit.errors import Invalid, Permanent, PlinthError, Temporary
from plinth.store.postgresql import Postgresql
from plinth.store.session import Database

PASSWORD = "s3cret-word"
URL = f"postgresql://ann:{PASSWORD}@127.0.0.1:1/plinth"


@pytest.fixture
def driver() -> Postgresql:
    return Postgresql(URL, 10.0)


@pytest.mark.parametrize(
    ("url", "fact"),
    [
        (f"mysql://ann:{PASSWORD}@h/x", "the kind `mysql`; `postgresql` is accepted"),
        (f"postgresql+psycopg2://ann:{PASSWORD}@h/x", "`postgresql+psycopg2`"),
        (f"postgresql://ann:{PASSWORD}@h", "names no database behind the host"),
        (f"ann:{PASSWORD}@h/x", "is no address of a database"),
        (f"postgresql://ann:{PASSWORD}@h:port/x", "is no address of a database"),
    ],
)
def test_a_bad_address_is_refused_without_its_password(url: str, fact: str) -> None:
    with pytest.raises(Invalid) as caught:
        Database(url)
    assert fact in caught.value.message
    assert caught.value.hint is not None
    assert PASSWORD not in f"{caught.value.message} {caught.value.hint} {caught.value.__context__}"


def test_an_address_is_shown_without_its_password(driver: Postgresql) -> None:
    assert Database(URL).where == driver.where == "postgresql://ann:***@127.0.0.1:1/plinth"
    assert PASSWORD not in repr(driver.engine)


def test_a_server_that_is_away_is_temporary_and_says_where(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    database = Database(URL)
    for opened in (database.read, database.write):
        with pytest.raises(Temporary, match=r"ann:\*\*\*@127.0.0.1:1") as caught, opened():
            pass
        assert "refused" in caught.value.message
        assert caught.value.code == "unavailable"
        assert caught.value.hint is not None
        assert PASSWORD not in f"{caught.value} {caught.value.__cause__}"
    assert PASSWORD not in caplog.text
    database.close()


class WithoutDriver(importlib.abc.MetaPathFinder):
    """Finds no `psycopg`, as where the extra was not installed."""

    def find_spec(self, name: str, _path: Any, _target: Any = None) -> None:
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError("No module named 'psycopg'")


def test_a_missing_driver_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "psycopg"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [WithoutDriver(), *sys.meta_path])
    with pytest.raises(Permanent) as caught:
        Database(URL)
    assert caught.value.code == "driver_missing"
    assert "plinth[postgres]" in str(caught.value.hint)


def wrapped(
    kind: Callable[..., DBAPIError], error: Exception, *, is_invalidated: bool = False
) -> DBAPIError:
    return kind("select 1", {}, error, connection_invalidated=is_invalidated)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (wrapped(OperationalError, errors.SerializationFailure("x")), "database_busy"),
        (wrapped(OperationalError, errors.DeadlockDetected("x")), "database_busy"),
        (wrapped(OperationalError, errors.LockNotAvailable("x")), "database_busy"),
        (wrapped(OperationalError, errors.QueryCanceled("x")), "database_busy"),
        (wrapped(OperationalError, errors.TooManyConnections("x")), "database_busy"),
        (wrapped(OperationalError, errors.OutOfMemory("x")), "database_busy"),
        (NoConnectionFree("x"), "database_busy"),
        (wrapped(OperationalError, errors.DiskFull("x")), "disk_full"),
        (wrapped(OperationalError, errors.AdminShutdown("x")), "unavailable"),
        (wrapped(OperationalError, errors.CannotConnectNow("x")), "unavailable"),
        (wrapped(InternalError, errors.IdleInTransactionSessionTimeout("x")), "unavailable"),
        (wrapped(OperationalError, psycopg.OperationalError("the connection is lost")),
         "unavailable"),
        (wrapped(DBAPIError, psycopg.Error("x"), is_invalidated=True), "unavailable"),
    ],
)  # fmt: skip
def test_what_passes_by_itself_is_temporary(
    driver: Postgresql, error: Exception, code: str
) -> None:
    translated = driver.translate(error)
    assert isinstance(translated, Temporary)
    assert translated.code == code


def test_a_value_that_no_column_takes_is_the_callers(driver: Postgresql) -> None:
    for cause in (errors.StringDataRightTruncation("too long"), psycopg.DataError("NUL")):
        assert isinstance(driver.translate(wrapped(DataError, cause)), Invalid)


@pytest.mark.parametrize(
    "error",
    [
        wrapped(ProgrammingError, errors.UndefinedTable("x")),
        wrapped(DBAPIError, errors.UniqueViolation("x")),
        wrapped(InternalError, errors.ReadOnlySqlTransaction("x")),
        KeyError("x"),
    ],
)
def test_our_own_mistakes_stay_what_they_are(driver: Postgresql, error: Exception) -> None:
    assert driver.translate(error) is None


def test_a_password_in_the_drivers_words_is_not_told(driver: Postgresql) -> None:
    said = psycopg.OperationalError(f'connection failed: "{PASSWORD}"\nmore')
    translated = driver.translate(wrapped(OperationalError, said))
    assert isinstance(translated, PlinthError)
    assert PASSWORD not in translated.message
    assert "more" not in translated.message
