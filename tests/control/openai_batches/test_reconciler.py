"""A batch goes through OpenAI's statuses, and ends with what it has whatever happens."""

from __future__ import annotations

import pytest

from plinth.control.openai_batches.progress import journal_of
from plinth.control.openai_batches.service import cancel_batch
from plinth.control.runs.service import removable, stop_run
from plinth.domain.run import Phase
from plinth.kit.errors import Conflict, Temporary
from plinth.store.runs import list_runs
from tests.control.openai_batches.batches import (
    EXTERNAL,
    content_of,
    line,
    lines,
    make,
    stored,
    unit_of,
    until_sent,
    write_results,
)
from tests.control.plane import Plane


@pytest.fixture
def chat(plane: Plane) -> Plane:
    plane.apply(name="chat", external=EXTERNAL)
    return plane


def until_ended(plane: Plane, batch: str) -> None:
    plane.until(lambda: stored(plane, batch).has_ended)


def test_a_batch_is_checked_sent_and_gathered(chat: Plane) -> None:
    batch = make(chat, lines(5), metadata={"a": "b"})
    assert stored(chat, batch).status == "validating"
    until_sent(chat, batch)
    seen = stored(chat, batch)
    assert (seen.status, seen.total, seen.model) == ("in_progress", 5, "chat")
    write_results(chat, batch, good=[1, 3, 4], bad=[2])
    chat.until(lambda: stored(chat, batch).completed == 3)
    assert (
        chat.run(seen.run or "").message == "4 of 5 requests done, 1 with an error; up to 4 at once"
    )
    write_results(chat, batch, good=[5])
    chat.world.end(unit_of(chat, batch))
    until_ended(chat, batch)
    done = stored(chat, batch)
    assert (done.status, done.completed, done.failed) == ("completed", 4, 1)
    assert set(done.times) == {"in_progress", "finalizing", "completed"}
    assert [each["custom_id"] for each in content_of(chat, done.output_file)] == [
        *("c-1", "c-3", "c-4", "c-5")
    ]
    assert [each["custom_id"] for each in content_of(chat, done.error_file)] == ["c-2"]
    assert done.usage is not None
    assert (done.usage["input_tokens"], done.usage["total_tokens"]) == (28, 36)
    chat.until(lambda: not journal_of(chat.context, done.run or "").exists())


def test_what_its_run_gets_and_who_it_is(chat: Plane) -> None:
    batch = make(chat, lines(2))
    until_sent(chat, batch)
    spec = chat.world.replicas[unit_of(chat, batch)].spec
    run = chat.run(stored(chat, batch).run or "")
    assert run.principal.startswith("q_")
    assert spec.variables["PLINTH_SENDER"] == run.principal
    assert run.workload.name == batch.replace("_", "-")
    assert spec.network == "gateway"
    assert spec.socket is None
    claims = chat.context.claims_of(spec.variables["PLINTH_KEY"])
    assert claims is not None
    assert claims.is_run
    inputs = [mount.path for mount in spec.mounts if stored(chat, batch).input_file in mount.path]
    assert len(inputs) == 1
    assert run.tracking_run is None


def test_mistakes_end_it_and_nothing_is_started(chat: Plane) -> None:
    batch = make(chat, [line("a"), line("a"), line("b", url="/v1/embeddings")])
    until_ended(chat, batch)
    seen = stored(chat, batch)
    assert (seen.status, seen.run, seen.total) == ("failed", None, 0)
    assert [(each["line"], each["code"]) for each in seen.errors] == [
        (2, "duplicate_custom_id"),
        (3, "url_mismatch"),
    ]
    with chat.database.read() as connection:
        assert list_runs(connection, kind="requests") == []


def test_a_model_that_is_stopped_or_speaks_otherwise_is_none(chat: Plane) -> None:
    chat.apply()
    body = {"model": "delay"}
    batch = make(chat, [line("a", body=body)])
    until_ended(chat, batch)
    assert [each["code"] for each in stored(chat, batch).errors] == ["model_not_found"]


def test_it_goes_on_with_the_rest_after_a_kill(chat: Plane) -> None:
    batch = make(chat, lines(3))
    until_sent(chat, batch)
    write_results(chat, batch, good=[1])
    chat.world.end(unit_of(chat, batch), 137, "was killed")
    chat.until(lambda: unit_of(chat, batch, 2) in chat.world.starts)
    chat.restart()
    first, second = (chat.world.replicas[unit_of(chat, batch, number)].spec for number in (1, 2))
    assert first.folder == second.folder
    assert first.variables["PLINTH_SENDER"] == second.variables["PLINTH_SENDER"]
    write_results(chat, batch, good=[2, 3])
    chat.world.end(unit_of(chat, batch, 2))
    until_ended(chat, batch)
    assert stored(chat, batch).status == "completed"


def test_one_that_always_crashes_fails_with_what_it_has(chat: Plane) -> None:
    chat.world.behave = lambda world, unit: world.end(unit, 1)
    batch = make(chat, lines(2))
    chat.until(lambda: stored(chat, batch).run is not None)
    write_results(chat, batch, good=[2])
    while not stored(chat, batch).has_ended:
        chat.step(20.0)
    seen = stored(chat, batch)
    assert (seen.status, seen.completed) == ("failed", 1)
    assert "times just after its start" in seen.errors[0]["message"]
    errors = content_of(chat, seen.error_file)
    assert [each["error"]["code"] for each in errors] == ["batch_failed"]


def test_a_cancelled_one_ends_with_what_it_has(chat: Plane) -> None:
    batch = make(chat, lines(3))
    until_sent(chat, batch)
    write_results(chat, batch, good=[2])
    with chat.write() as connection:
        assert cancel_batch(connection, chat.context, stored(chat, batch)).status == "cancelling"
    until_ended(chat, batch)
    seen = stored(chat, batch)
    assert (seen.status, seen.completed) == ("cancelled", 1)
    assert {"cancelling", "cancelled"} <= set(seen.times)
    assert [each["custom_id"] for each in content_of(chat, seen.error_file)] == ["c-1", "c-3"]
    with chat.write() as connection:
        again = cancel_batch(connection, chat.context, seen)
    assert again.status == "cancelled"


def test_one_that_is_cancelled_before_it_was_checked_never_starts(chat: Plane) -> None:
    batch = make(chat, lines(3))
    with chat.write() as connection:
        cancel_batch(connection, chat.context, stored(chat, batch))
    until_ended(chat, batch)
    assert (stored(chat, batch).status, stored(chat, batch).run) == ("cancelled", None)


def test_what_has_ended_cannot_be_cancelled(chat: Plane) -> None:
    batch = make(chat, [line("a", method="GET")])
    until_ended(chat, batch)
    with chat.write() as connection, pytest.raises(Conflict, match="status 'failed'"):
        cancel_batch(connection, chat.context, stored(chat, batch))


def test_a_window_that_closes_ends_it_with_what_it_has(chat: Plane) -> None:
    batch = make(chat, lines(3), window="5m")
    until_sent(chat, batch)
    write_results(chat, batch, good=[1, 2])
    chat.clock.advance(301)
    until_ended(chat, batch)
    seen = stored(chat, batch)
    assert (seen.status, seen.completed) == ("expired", 2)
    assert [each["error"]["code"] for each in content_of(chat, seen.error_file)] == [
        "batch_expired"
    ]


def test_one_that_was_done_just_when_its_window_closed_is_completed(chat: Plane) -> None:
    batch = make(chat, lines(1), window="5m")
    until_sent(chat, batch)
    write_results(chat, batch, good=[1])
    chat.clock.advance(301)
    chat.world.end(unit_of(chat, batch))
    until_ended(chat, batch)
    assert stored(chat, batch).status == "completed"


def test_a_run_that_is_stopped_is_a_batch_that_is_cancelled(chat: Plane) -> None:
    batch = make(chat, lines(2))
    until_sent(chat, batch)
    with chat.write() as connection:
        stop_run(connection, chat.context, chat.run(stored(chat, batch).run or ""))
    until_ended(chat, batch)
    assert stored(chat, batch).status == "cancelled"


def test_the_run_stays_until_its_results_are_gathered(chat: Plane) -> None:
    batch = make(chat, lines(1))
    until_sent(chat, batch)
    run = stored(chat, batch).run or ""
    chat.world.end(unit_of(chat, batch))
    chat.until(lambda: chat.run(run).phase is Phase.SUCCEEDED and chat.run(run).closed)
    if not stored(chat, batch).has_ended:
        with chat.database.read() as connection, pytest.raises(Conflict, match="gathered"):
            removable(connection, chat.run(run))
    until_ended(chat, batch)
    with chat.database.read() as connection, pytest.raises(Temporary, match="usage"):
        removable(connection, chat.run(run))


def test_a_half_written_last_line_is_no_result(chat: Plane) -> None:
    batch = make(chat, lines(2), window="5m")
    until_sent(chat, batch)
    write_results(chat, batch, good=[1])
    with journal_of(chat.context, stored(chat, batch).run or "").open("a") as journal:
        journal.write('{"line": 2, "ok": tr')
    chat.clock.advance(301)
    until_ended(chat, batch)
    seen = stored(chat, batch)
    assert (seen.status, seen.completed) == ("expired", 1)


def test_an_input_that_is_gone_ends_it_with_the_reason(chat: Plane) -> None:
    batch = make(chat, lines(2))
    file = stored(chat, batch).input_file
    for path in chat.home.storage.glob(f"files/*/{file}/content"):
        path.unlink()
    until_ended(chat, batch)
    assert stored(chat, batch).status == "failed"
    assert file in stored(chat, batch).errors[0]["message"]
