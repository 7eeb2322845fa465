"""What several journey files share: a PostgreSQL server for each process that runs tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.postgres_server import running_postgres
from tests.journeys.postgres_stand import Databases


@pytest.fixture(scope="session")
def databases(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Databases]:
    """Give databases on a server that is started when a test first asks for one."""
    with running_postgres(managed_environments, free_port()) as server:
        yield Databases(server)
