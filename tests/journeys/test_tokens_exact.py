"""Tokens are charged as the servers of the models counted them, though the control plane dies.

A journey because only a real Plinth shows what its kill, a new log and copies do to the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.token_loss import TEAM, Outcome, Scenario, allowing_home, serving_models
from plinth.control.replay import Compared, compare
from plinth.store.session import Database
from tests.journeys.plinth_node import Plinth, running_plinth

REQUESTS = 600


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    folder = allowing_home()
    with running_plinth(managed_environments, free_port(), teams=[TEAM], folder=folder) as plinth:
        yield plinth


@pytest.fixture(scope="module")
def outcome(plinth: Plinth) -> Outcome:
    """Send the requests, with a kill and a rotation in between."""
    with serving_models(plinth) as models:
        return Scenario(plinth, models, REQUESTS).run()


@pytest.mark.journey(timeout_s=300)
def test_what_each_request_and_each_copy_used_is_charged_once(outcome: Outcome) -> None:
    assert len(outcome.asked) == REQUESTS
    assert outcome.failed == 0
    assert outcome.lost == []
    assert outcome.doubled == []
    assert {each.end for each in outcome.asked} == {"whole", "died", "left", "retry"}
    assert outcome.copied


def test_only_streams_that_broke_off_are_estimates(outcome: Outcome) -> None:
    cut = {each.id for each in outcome.asked if each.end in ("died", "left")}
    marked = {name for (name, copy), (_, marked) in outcome.ledger.items() if marked and not copy}
    assert marked == cut


def test_the_logs_read_once_more_say_the_same(plinth: Plinth, outcome: Outcome) -> None:
    assert outcome.asked
    found: Compared = compare(plinth.home, Database(plinth.home.database))
    assert found.is_proven
    assert (found.only_ledger, found.only_sources, found.not_kept) == (0, 0, 0)


def test_people_see_the_tokens_the_routes_the_requests_and_the_counters(
    plinth: Plinth, outcome: Outcome
) -> None:
    asked, copied = plinth.cli("usage", "--json").json
    assert (asked["requests"], asked["shadow"]) == (REQUESTS, False)
    assert (copied["requests"], copied["shadow"]) == (len(outcome.copied), True)
    assert 0 < asked["estimated_tokens"] < asked["input_tokens"]
    assert "unpriced" in plinth.cli("bill").out
    assert "failover 2" in plinth.cli("gateway", "routes").out
    assert "is running" in plinth.cli("gateway", "status").out
    assert "first" in plinth.cli("gateway", "tail", "--once").out
    text = plinth.client.metrics()
    assert f'endpoint="tokens",deployment="tokens.second"}} {_retried(outcome)}\n' in text


def _retried(outcome: Outcome) -> int:
    return sum(each.end == "retry" for each in outcome.asked)
