"""H12: batches of foundation models go to the Batch API: its limits, its day, its price.

The advice, and Plinth's own `/v1/files` and `/v1/batches` in front of any model. With the official
client, kills and the bill: tests/journeys/test_openai_batches.py.
"""

from __future__ import annotations

import json
from typing import Any

from plinth.domain.access import Role
from plinth.domain.application import Application
from plinth.domain.plan import Outcome
from plinth.planning.rules.batch import hosted_batch_fits
from tests.api.service import TEAM, make_service
from tests.control.openai_batches.batches import (
    CHAT,
    EXTERNAL,
    lines,
    stored,
    unit_of,
    until_sent,
    write_results,
)
from tests.planning.rules.placed import application, need, need_of, place, tried, with_facts

BATCH_API = place("azure-openai-batch", tier="batch", model="gpt-4o", cpu=0, memory=0)


def asking(**batch: Any) -> Application:
    return application("batch", batch={"model": "gpt-4o", **batch})


def test_the_batch_api_is_accepted_with_its_files_its_day_and_its_price() -> None:
    whole = asking(window="2d", demand={"rows": 20_000_000})
    said = hosted_batch_fits(need_of(whole, "batch"), BATCH_API)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "20,000,000 requests of a run go in 200 files of at most 100,000; it aims at 24 h for an "
        "answer and promises no time; 50 % below the price of the same requests made online"
    )


def test_without_a_number_of_rows_the_limit_of_a_file_is_still_told() -> None:
    said = hosted_batch_fits(need_of(asking(), "batch"), BATCH_API)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason.startswith("at most 100,000 requests in a file; ")


def test_answers_that_are_needed_sooner_are_rejected_with_the_window_that_would_do() -> None:
    whole = asking(window="8h")
    said = hosted_batch_fits(need_of(whole, "batch"), BATCH_API)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "needs the answers within 8h 00m; it aims at 24 h and promises no time"
    assert str(said.change) == "batch.window: 24h"
    then = tried(hosted_batch_fits, whole, BATCH_API, "batch")
    assert then is not None
    assert then.outcome is Outcome.OK


def test_a_missing_fact_is_unknown_and_is_named() -> None:
    where = with_facts(BATCH_API, batch={"window_hours": None})
    said = hosted_batch_fits(need_of(asking(window="8h"), "batch"), where)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == (
        "needs the answers within 8h 00m; what it aims at is not known, `batch.window_hours` of "
        "its facts would say it"
    )


def test_a_model_of_ones_own_raises_no_question() -> None:
    assert hosted_batch_fits(need(part="batch"), place("azureml-batch-endpoint")) is None
    assert hosted_batch_fits(need_of(asking(), "batch"), place("azureml-batch-endpoint")) is None


def test_a_file_of_requests_becomes_a_file_of_answers_by_openais_own_addresses() -> None:
    with make_service() as service:
        plane = service.plane
        plane.apply(name="chat", external=EXTERNAL)
        key = service.caller(Role.CONTRIBUTOR, TEAM, home_team=TEAM)
        content = "".join(f"{json.dumps(each)}\n" for each in lines(3)).encode()
        form = {"files": {"file": ("in.jsonl", content)}, "data": {"purpose": "batch"}}
        file = service.call(key, "POST", "/openai/files", **form).json()["id"]
        asked = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
        batch = service.call(key, "POST", "/openai/batches", json=asked).json()["id"]
        until_sent(plane, batch)
        write_results(plane, batch, good=[1, 3], bad=[2])
        plane.world.end(unit_of(plane, batch))
        plane.until(lambda: stored(plane, batch).has_ended)
        done = service.call(key, "GET", f"/openai/batches/{batch}").json()
        assert (done["status"], done["request_counts"]["completed"]) == ("completed", 2)
        answers = service.call(key, "GET", f"/openai/files/{done['output_file_id']}/content")
        found = [json.loads(line)["custom_id"] for line in answers.text.splitlines()]
        assert found == ["c-1", "c-3"]
        # Nothing is left that runs.
        assert all(each.phase.is_final for each in plane.world.replicas.values())
