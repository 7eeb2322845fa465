"""One Plinth for several files, one after the other in one process: a start takes 10 CPU-seconds.

For files that look at their own teams, workloads and names only. A file that counts what is there,
changes settings, kills more than the control plane or leaves the node otherwise than it was starts
its own with `running_plinth`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.journeys.plinth_node import Plinth, running_plinth, wait_for

# In this order. What `test_product_rude_jobs` prints would be read by the others.
ON_ONE_NODE = (
    *("test_open_mlflow", "test_console", "test_product_canary", "test_product_jobs"),
    *("test_product_access", "test_private_addresses", "test_product_rude_jobs"),
)
GROUP = "one-node"

_running = pytest.StashKey[tuple[Plinth, ExitStack]]()
_goes_on = pytest.StashKey[bool]()


def is_on_one_node(item: pytest.Item | None) -> bool:
    """Tell whether a test shares the node."""
    return item is not None and item.path.stem in ON_ONE_NODE


def note_next(config: pytest.Config, following: pytest.Item | None) -> None:
    """Remember whether the node is needed after the test that ends now."""
    config.stash[_goes_on] = is_on_one_node(following)


def lend(config: pytest.Config, cache: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    """Give the node to a file: started for the first, emptied for the next, ended by the last."""
    if _running not in config.stash:
        stack = ExitStack()
        config.stash[_running] = stack.enter_context(running_plinth(cache, free_port())), stack
    plinth, stack = config.stash[_running]
    yield plinth
    if config.stash[_goes_on]:
        _stop_all(plinth)
    else:
        del config.stash[_running]
        stack.close()


def with_teams(plinth: Plinth, *teams: str) -> Plinth:
    """Return the node with the teams made, as far as no file before has made them."""
    known = {team["name"] for team in plinth.client.teams()}
    for team in teams:
        if team not in known:
            plinth.client.add_team(team)
    return plinth


def _stop_all(plinth: Plinth) -> None:
    """Stop what the file left running; its names are free again."""
    client = plinth.client
    for endpoint in client.endpoints():
        client.delete_endpoint(endpoint["name"])
    for run in client.runs(active=True, kind="job"):
        client.stop_run(run["id"])
    wait_for(lambda: not client.endpoints() and not client.runs(active=True), "the end of what ran")
