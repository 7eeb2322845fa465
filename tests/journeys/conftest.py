"""What journeys share: their order, and a PostgreSQL server for each process that runs tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.postgres_server import running_postgres
from tests.journeys.postgres_stand import Databases

# The files that take longest, begun first: else one process works while the others have nothing.
LONGEST = (
    *("test_demo", "test_openai_batches", "test_product_flow", "test_product_batches"),
    *("test_workspaces", "test_batchrunner", "test_product_burst", "test_product_chat"),
    *("test_product_external", "test_product_secrets", "test_product_canary"),
    *("test_product_kills", "test_console"),
    *("test_usage_exact", "test_leaks", "test_product_node"),
    *("test_product_serving", "test_product_backup", "test_kill_paused", "test_product_trace"),
    *("test_kill_jobs", "test_kill_traffic", "test_kill_storm", "test_kill_deployments"),
    *("test_adversity", "test_postgres", "test_disk_full", "test_v2server", "test_api_fuzz"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; the others follow in their order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def databases(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Databases]:
    """Give databases on a server that is started when a test first asks for one."""
    with running_postgres(managed_environments, free_port()) as server:
        yield Databases(server)
