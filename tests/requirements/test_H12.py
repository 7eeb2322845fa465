"""H12: batches of foundation models go to the Batch API: its limits, its day, its price.

What is tested here is the advice. That Plinth itself answers `/v1/batches` is another matter.
"""

from __future__ import annotations

from typing import Any

from plinth.domain.application import Application
from plinth.domain.plan import Outcome
from plinth.planning.rules.batch import hosted_batch_fits
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
