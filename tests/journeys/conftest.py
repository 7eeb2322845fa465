"""What journeys share: their order, one node for some, a PostgreSQL server for each process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.journeys.one_node import GROUP, ON_ONE_NODE, is_on_one_node, lend, note_next
from tests.journeys.plinth_node import Plinth
from tests.journeys.postgres_server import running_postgres
from tests.journeys.postgres_stand import Databases

# The files that take longest, begun first: else one process works while the others have nothing.
LONGEST = (
    *("test_demo", GROUP, "test_openai_batches", "test_product_flow", "test_product_batches"),
    *("test_workspaces", "test_batchrunner", "test_product_burst", "test_product_chat"),
    *("test_workspace_marimo", "test_product_external", "test_product_secrets"),
    "test_product_kills",
    *("test_usage_exact", "test_leaks", "test_product_node"),
    *("test_product_serving", "test_product_backup", "test_kill_paused", "test_product_trace"),
    *("test_kill_jobs", "test_kill_traffic", "test_kill_storm", "test_kill_deployments"),
    *("test_adversity", "test_postgres", "test_disk_full", "test_v2server", "test_api_fuzz"),
    *("test_flow_workers", "test_product_flow_faults", "test_console"),
)


class ByFile(LoadFileScheduling):
    """Give a file's tests to one process, and all files of the one node to the same."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return GROUP if Path(file).stem in ON_ONE_NODE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    """Choose it for `--dist loadfile`."""
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; the others follow in their order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    on_one_node = {name: place for place, name in enumerate(ON_ONE_NODE)}

    def place(item: pytest.Item) -> tuple[int, int]:
        stem = GROUP if is_on_one_node(item) else item.path.stem
        return places.get(stem, len(places)), on_one_node.get(item.path.stem, 0)

    items.sort(key=place)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Let the one node see whether a test that needs it follows."""
    note_next(item.config, nextitem)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the one node when a session is cut short."""
    note_next(session.config, None)


@pytest.fixture(scope="module")
def one_node(
    pytestconfig: pytest.Config, managed_environments: Path, free_port: Callable[[], int]
) -> Iterator[Plinth]:
    """Give the node that several files use one after the other."""
    yield from lend(pytestconfig, managed_environments, free_port)


@pytest.fixture(scope="session")
def databases(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Databases]:
    """Give databases on a server that is started when a test first asks for one."""
    with running_postgres(managed_environments, free_port()) as server:
        yield Databases(server)
