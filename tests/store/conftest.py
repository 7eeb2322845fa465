"""A database with the newest schema for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.store.session import Database
from tests.control.plane import copy_template, open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    copy_template(tmp_path / "plinth.db")
    opened = open_database(tmp_path / "plinth.db")
    yield opened
    opened.close()
