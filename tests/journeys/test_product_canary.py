"""Two versions behind one name: shares, testers, promotion, removal, and no request fails."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.journeys.one_node import with_teams
from tests.journeys.plinth_node import (
    Caller,
    Json,
    Plinth,
    infer,
    is_alive,
    kill,
    request,
    wait_for,
    y_of,
)

TEAM = "research"
NAME = "scale"
BLUE, GREEN = "models:/scale/1", "models:/scale/2"
# What the models answer to 10.
OLD, NEW = 20.0, 30.0
TESTER = {"x-variant": "green"}


@pytest.fixture(scope="module")
def plinth(one_node: Plinth) -> Plinth:
    """Give Plinth with a model whose version 1 doubles and whose version 2 triples."""
    plinth = with_teams(one_node, TEAM)
    plinth.train(TEAM, "2", "3")
    return plinth


@pytest.fixture(scope="module")
def caller(plinth: Plinth) -> httpx.Client:
    return plinth.http(plinth.key(TEAM))


def applied(plinth: Plinth, **fields: Any) -> str:
    """Apply the endpoint's file as a person does; return what was said."""
    said = plinth.cli("apply", plinth.write(kind="endpoint", name=NAME, team=TEAM, **fields)).err
    assert plinth.client.endpoint(NAME)["up_to_date"]
    return said


def both(**fields: Any) -> Json:
    return {
        "deployments": {"blue": {"model": BLUE}, "green": {"model": GREEN}},
        "match": {"green": TESTER},
        **fields,
    }


def serving(plinth: Plinth) -> dict[str, str]:
    found: dict[str, str] = plinth.client.endpoint(NAME)["serving"]
    return found


def test_one_version_serves_under_a_short_file(plinth: Plinth, caller: httpx.Client) -> None:
    applied(plinth, model=BLUE)
    assert y_of(infer(caller, NAME, 10.0).json()) == OLD


def test_a_second_one_gets_its_share_and_the_first_is_not_restarted(
    plinth: Plinth, caller: httpx.Client
) -> None:
    (first,) = serving(plinth).values()
    server = plinth.pid_of(f"{first}.0.1")
    with Caller(caller, NAME) as calls:
        calls.wait_for_answers(10)
        said = applied(plinth, **both(traffic={"blue": 90, "green": 10}))
        calls.wait_for_answers(10)
    assert "`blue` (scale/1, 90 %), `green` (scale/2, 10 %)" in said
    assert calls.failed == []
    # It goes on under the name that the file now gives it.
    assert serving(plinth)["blue"] == first
    assert is_alive(server)
    answers = [y_of(infer(caller, NAME, 10.0).json()) for _ in range(400)]
    assert set(answers) == {OLD, NEW}
    # 40 are expected; six times the deviation of 6 on either side.
    assert 4 <= answers.count(NEW) <= 76


def test_testers_choose_by_their_header(plinth: Plinth, caller: httpx.Client) -> None:
    path = f"/v2/models/{NAME}/infer"
    for _ in range(50):
        answer = caller.post(path, json=request(10.0), headers=TESTER)
        assert y_of(answer.json()) == NEW
    other = {"x-variant": "blue"}
    answers = [y_of(caller.post(path, json=request(10.0), headers=other).json()) for _ in range(50)]
    assert OLD in answers


def test_all_of_it_moves_while_the_control_plane_is_killed_and_nothing_restarts(
    plinth: Plinth, caller: httpx.Client
) -> None:
    before = serving(plinth)
    servers = [plinth.pid_of(f"{run}.0.1") for run in before.values()]
    with Caller(caller, NAME) as calls:
        calls.wait_for_answers(20)
        answer = plinth.client.apply(
            plinth.endpoint_of(NAME, TEAM, **both(traffic={"blue": 0, "green": 100}))
        )
        kill(plinth.pid_of("control"))
        assert answer["applied"] == before
        wait_for(plinth.is_up, "the control plane")
        wait_for(lambda: plinth.client.endpoint(NAME)["up_to_date"], "the new traffic")
        after = len(calls.answers) + 5
        calls.wait_for_answers(30)
    assert calls.failed == []
    assert {y for _, y in calls.answers[after:]} == {NEW}
    assert serving(plinth) == before
    assert all(map(is_alive, servers))
    shown = plinth.client.endpoint(NAME)["deployments"]
    assert {name: one["share"] for name, one in shown.items()} == {"blue": 0, "green": 100}


def test_limits_and_timeouts_take_effect_without_a_restart(
    plinth: Plinth, caller: httpx.Client
) -> None:
    before = serving(plinth)
    tight = both(traffic={"green": 100}, max_body=100)
    applied(plinth, **tight)
    assert caller.post(f"/v2/models/{NAME}/infer", json=request(10.0)).status_code == 413
    applied(plinth, **both(traffic={"green": 100}))
    assert infer(caller, NAME, 10.0).status_code == 200
    assert serving(plinth) == before


def test_what_the_file_names_no_more_loses_its_traffic_and_then_stops(
    plinth: Plinth, caller: httpx.Client
) -> None:
    blue = serving(plinth)["blue"]
    server = plinth.pid_of(f"{blue}.0.1")
    green = {"deployments": {"green": {"model": GREEN}}}
    with Caller(caller, NAME) as calls:
        calls.wait_for_answers(10)
        applied(plinth, **green)
        wait_for(lambda: not is_alive(server), "the end of blue's server")
        calls.wait_for_answers(20)
    assert (calls.failed, {y for _, y in calls.answers}) == ([], {NEW})
    shown = plinth.client.endpoint(NAME)
    assert set(shown["serving"]) == set(shown["deployments"]) == {"green"}
    phases = {run["id"]: run["phase"] for run in shown["runs"]}
    wait_for(lambda: plinth.client.run(blue)["phase"] == "stopped", "blue's end")
    assert phases[shown["serving"]["green"]] == "running"


def test_what_replaces_everything_answers_before_anything_stops(
    plinth: Plinth, caller: httpx.Client
) -> None:
    fresh = {"deployments": {"red": {"model": BLUE}}}
    with Caller(caller, NAME) as calls:
        calls.wait_for_answers(10)
        applied(plinth, **fresh)
        calls.wait_for_answers(20)
    assert calls.failed == []
    answers = [y for _, y in calls.answers]
    # First all of the new version's name before, then all of the one that replaced it.
    assert answers == sorted(answers, reverse=True)
    assert set(answers) == {OLD, NEW}
    listed = plinth.cli("list").out
    assert NAME in listed
    assert "running" in listed
    shown = plinth.cli("get", NAME).out
    assert all(word in shown for word in ("red", "scale/1", "100 %", "Deployments", "Runs"))
