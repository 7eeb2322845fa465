"""What the ledger has of tokens is what the servers of the models counted themselves.

A journey because Envoy reads the answers, and decides what stands in its log when one breaks off.
"""

from __future__ import annotations

import http.client
import math
import random
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from plinth.control.requests import read_request, read_shadow
from plinth.domain.usage import Meter, UsageRecord
from plinth.metering.journal import Journal, Reading
from plinth.metering.ledger import Ledger
from tests.conformance.upstream_stand import says
from tests.journeys.gateway_stand import eventually
from tests.journeys.spill_stand import Stand, running_stand
from tests.journeys.token_model import KINDS, Model, body_of, path_of


@pytest.fixture(scope="module")
def stand(free_port: Callable[[], int]) -> Iterator[Stand]:
    with running_stand(free_port) as running:
        yield running


def ask(stand: Stand, kind: str = "json", **tell: Any) -> str:
    """Ask, and return the id of the answer; whatever becomes of it."""
    connection = stand.gateway.connect()
    headers = {"authorization": f"Bearer {stand.gateway.key()}"}
    headers["content-type"] = "application/json"
    with closing(connection):
        connection.request("POST", path_of(kind), body_of(kind, **tell), headers)
        answer = connection.getresponse()
        if leaves_after := tell.get("leaves_after"):
            answer.read(leaves_after)
        else:
            with suppress(http.client.IncompleteRead, ConnectionError):
                answer.read()
        return str(answer.headers["x-plinth-id"])


def usage_of(stand: Stand, ids: set[str]) -> dict[str, list[UsageRecord]]:
    """Return what a ledger has of these requests, by their ids, when all lines are written."""

    def written() -> bool:
        return ids <= {line["id"] for line in stand.lines()}

    assert eventually(written), ids - {line["id"] for line in stand.lines()}
    root, shadows = stand.gateway.root, Reading(read_shadow, origin="shadow")
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Ledger(Path(folder) / "ledger.db")) as ledger,
    ):
        Journal(root / "access.log", ledger, Reading(read_request)).collect()
        Journal(root / "shadow.log", ledger, shadows).collect()
        records = ledger.records()
    found: dict[str, list[UsageRecord]] = {each: [] for each in ids}
    for record in records:
        name = (record.request_id or "").rpartition("/")[2]
        if name in found:
            found[name].append(record)
    return found


def tokens(records: list[UsageRecord]) -> dict[str, int]:
    return {each.meter: int(each.quantity) for each in records if each.meter != Meter.REQUESTS}


def without_nothing(counted: dict[str, int]) -> dict[str, int]:
    return {meter: number for meter, number in counted.items() if number}


def test_a_mixture_of_answers_is_counted_as_its_servers_counted_it(stand: Stand) -> None:
    model = Model()
    stand.apply(stand.hosted("blue", model))
    chance = random.Random(7)
    asked = [
        (
            chance.choice(KINDS),
            {"in": (given := chance.randint(1, 9999)), "out": chance.randint(1, 30)}
            | {"cached": chance.randint(0, given)},
        )
        for _ in range(200)
    ]
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda each: ask(stand, each[0], **each[1]), asked))
    assert len(ids) == 200
    found = usage_of(stand, ids)
    assert {name: tokens(records) for name, records in found.items()} == {
        name: without_nothing(model.counted[name]) for name in ids
    }
    whole = [record for records in found.values() for record in records]
    assert not any(record.estimated for record in whole)
    assert {(record.team, record.run, record.model) for record in whole} == {
        ("ops", "r_blue", "small-2026")
    }
    assert sum(record.meter is Meter.REQUESTS for record in whole) == 200


def test_a_stream_whose_server_died_is_an_estimate_of_what_came_through(stand: Stand) -> None:
    model = Model()
    stand.apply(stand.hosted("blue", model))
    name = ask(stand, "stream", out=30, dies_after=12)
    (records,) = usage_of(stand, {name}).values()
    length = len(body_of("stream", out=30, dies_after=12))
    # The first event only says who speaks.
    assert tokens(records)["output_tokens"] == 11
    assert abs(tokens(records)["input_tokens"] - math.ceil(length / 4)) < 12
    assert {record.meter for record in records if record.estimated} == {
        "input_tokens",
        "output_tokens",
    }


def test_a_stream_that_its_caller_left_is_an_estimate_too(stand: Stand) -> None:
    model = Model()
    stand.apply(stand.hosted("blue", model))
    name = ask(stand, "stream", out=200, slowly=True, leaves_after=600)
    (records,) = usage_of(stand, {name}).values()
    assert 0 < tokens(records)["output_tokens"] <= model.sent[name] < 200
    assert all(record.estimated for record in records if record.meter is not Meter.REQUESTS)


def test_what_was_spilled_is_counted_once_and_for_who_served(stand: Stand) -> None:
    model = Model()
    base = stand.hosted("base", says("base", 429))
    burst = stand.external("burst", model)
    stand.apply(base, burst, capacity={"base": "base", "burst": "burst"})
    ids = {ask(stand, kind) for kind in KINDS}
    found = usage_of(stand, ids)
    assert {name: tokens(records) for name, records in found.items()} == {
        name: without_nothing(model.counted[name]) for name in ids
    }
    assert {(each.run, each.deployment) for records in found.values() for each in records} == {
        (None, "burst")
    }


def test_what_everybody_refused_has_no_tokens(stand: Stand) -> None:
    base, burst = stand.hosted("base", says("base", 429)), stand.external("burst", says("b", 429))
    stand.apply(base, burst, capacity={"base": "base", "burst": "burst"})
    (records,) = usage_of(stand, {ask(stand)}).values()
    assert tokens(records) == {}


def test_copies_are_charged_to_the_endpoints_team_and_apart(stand: Stand) -> None:
    model, other = Model(), Model()
    blue, green = stand.hosted("blue", model), stand.hosted("green", other)
    stand.apply(blue, green, traffic={"blue": 100, "green": 0}, mirror={"green": 100})
    ids = {ask(stand, kind) for kind in KINDS for _ in range(4)}
    assert eventually(lambda: ids <= {each["id"] for each in stand.lines("shadow.log")})
    found = usage_of(stand, ids)
    for name, records in found.items():
        asked = [each for each in records if not each.shadow]
        copies = [each for each in records if each.shadow]
        assert tokens(asked) == without_nothing(model.counted[name])
        assert tokens(copies) == without_nothing(other.counted[name])
        assert {each.run for each in asked} == {"r_blue"}
        assert {(each.run, each.team, each.principal) for each in copies} == {
            ("r_green", "ops", None)
        }


def test_numbers_that_cannot_be_true_are_not_billed(stand: Stand) -> None:
    stand.apply(stand.hosted("blue", Model()))
    wrong = {"prompt_tokens": -5, "completion_tokens": 1e30, "total_tokens": "x"}
    (records,) = usage_of(stand, {ask(stand, "json", usage=wrong)}).values()
    assert all(record.estimated for record in records if record.meter is not Meter.REQUESTS)
    assert 0 < tokens(records)["input_tokens"] < 100
    assert 0 < tokens(records)["output_tokens"] < 100


@pytest.mark.parametrize("policy", [{}, {"failover": ("blue", "far")}], ids=["alone", "way"])
def test_a_server_cannot_say_that_it_served_nobody(stand: Stand, policy: dict[str, Any]) -> None:
    liar = stand.hosted("blue", says("blue", x_plinth_unserved="lie"))
    others = (stand.external("far", Model()),) if policy else ()
    stand.apply(liar, *others, **policy)
    (records,) = usage_of(stand, {ask(stand)}).values()
    assert {record.meter for record in records if record.estimated} == {
        "input_tokens",
        "output_tokens",
    }
