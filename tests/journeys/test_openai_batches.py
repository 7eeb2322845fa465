"""H12: OpenAI's Batch API over a model behind the gateway, driven by OpenAI's own client."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import Batch

from plinth.domain.usage import Meter
from plinth.metering.ledger import Ledger
from tests.journeys.batch_provider import BatchProvider, running_batch_provider
from tests.journeys.plinth_node import Plinth, is_alive, running_plinth, wait_for

TEAM = "research"
CHAT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")


@pytest.fixture(scope="module")
def provider() -> Iterator[BatchProvider]:
    with running_batch_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def plinth(
    managed_environments: Path, free_port: Callable[[], int], provider: BatchProvider
) -> Iterator[Plinth]:
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    (folder / "settings.toml").write_text("allow_private_upstreams = true\n")
    port = free_port()
    with running_plinth(managed_environments, port, teams=[TEAM], folder=folder) as plinth:
        external = {"url": provider.url, "protocol": "openai", "model": "gpt-9"}
        shared = {"kind": "endpoint", "team": TEAM, "external": external}
        plinth.cli("apply", plinth.write(**shared, name="chat", retries=0))
        yield plinth


@pytest.fixture(autouse=True)
def usual(provider: BatchProvider) -> Iterator[None]:
    provider.slow_s, provider.per_second = 0.0, None
    yield
    provider.slow_s, provider.per_second = 0.0, None


@pytest.fixture(scope="module")
def client(plinth: Plinth) -> Iterator[openai.OpenAI]:
    with client_of(plinth, plinth.key(TEAM, role="contributor")) as client:
        yield client


def client_of(plinth: Plinth, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{plinth.address}/v1", api_key=key, max_retries=0)


def line(custom_id: str, says: str, **changes: Any) -> dict[str, Any]:
    body = {"model": "chat", "messages": [{"role": "user", "content": says}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **changes}


def begin(client: openai.OpenAI, lines: Sequence[Any], window: str = "24h", **more: Any) -> Batch:
    content = "".join(f"{json.dumps(each)}\n" for each in lines).encode()
    file = client.files.create(file=("in.jsonl", io.BytesIO(content)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id,
        endpoint=CHAT,
        completion_window=window,  # type: ignore[arg-type]
        **more,
    )


def ended(client: openai.OpenAI, batch: Batch, within_s: float = 90.0) -> Batch:
    def seen() -> Batch | None:
        found = client.batches.retrieve(batch.id)
        return found if found.status in ENDED else None

    found: Batch = wait_for(seen, f"the end of {batch.id}", within_s=within_s)
    return found


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(each) for each in client.files.content(file_id).text.splitlines()]


def run_of(plinth: Plinth, batch: Batch) -> dict[str, Any]:
    name = batch.id.replace("_", "-")
    (run,) = [each for each in plinth.client.runs(kind="requests") if each["name"] == name]
    return run


def billed(plinth: Plinth, batch: Batch) -> dict[str, int]:
    """Return what the ledger has of a batch: sums by meter, of the requests of its run."""
    principal = plinth.client.run(run_of(plinth, batch)["id"])["principal"]
    ledger = Ledger(plinth.home.ledger)
    sums: dict[str, int] = {}
    for record in ledger.records():
        if record.principal == principal and record.request_id:
            sums[record.meter] = sums.get(record.meter, 0) + int(record.quantity)
    ledger.close()
    return sums


def test_a_batch_goes_from_its_file_to_its_answers(
    plinth: Plinth, client: openai.OpenAI, provider: BatchProvider
) -> None:
    lines = [line(f"a-{n}", f"ok-a-{n}") for n in range(40)]
    lines += [line("a-bad", "bad-a"), line("a-flaky", "flaky-a"), line("a-broken", "broken-a")]
    batch = begin(client, lines, metadata={"for": "test"})
    assert (batch.status, batch.object, batch.metadata) == ("validating", "batch", {"for": "test"})
    done = ended(client, batch)
    assert done.status == "completed", done
    counts = done.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (43, 41, 2)
    answers = {each["custom_id"]: each for each in lines_of(client, done.output_file_id)}
    assert set(answers) == {each["custom_id"] for each in lines[:40]} | {"a-flaky"}
    one = answers["a-7"]
    assert one["error"] is None
    assert one["response"]["status_code"] == 200
    assert one["response"]["body"]["choices"][0]["message"]["content"] == "echo ok-a-7"
    errors = {each["custom_id"]: each for each in lines_of(client, done.error_file_id)}
    assert {name: each["response"]["status_code"] for name, each in errors.items()} == {
        "a-bad": 400,
        "a-broken": 500,
    }
    assert provider.asked["flaky-a"] == 3
    assert done.usage is not None
    assert (done.usage.input_tokens, done.usage.output_tokens) == (41 * 7, 41 * 2)
    wait_for(lambda: billed(plinth, batch).get(Meter.INPUT_TOKENS) == 41 * 7, "the bill")
    # What always failed is charged to nobody.
    assert billed(plinth, batch)[Meter.REQUESTS] == 42
    listed = plinth.cli("list").out
    assert batch.id.replace("_", "-") in listed


def test_the_run_that_sends_it_is_shown_and_charged_to_whoever_asked(
    plinth: Plinth, client: openai.OpenAI
) -> None:
    batch = ended(client, begin(client, [line("s-1", "ok-s-1"), line("s-2", "ok-s-2")]))
    name = batch.id.replace("_", "-")
    shown = plinth.cli("get", name).out
    assert "2 of 2 requests done" in shown
    run = run_of(plinth, batch)
    assert (run["team"], run["phase"], run["kind"]) == (TEAM, "succeeded", "requests")
    wait_for(lambda: billed(plinth, batch).get(Meter.INPUT_TOKENS) == 14, "the bill")
    usage = {row["workload"]: row for row in plinth.client.usage()}
    assert usage[f"requests/{name}"]["team"] == TEAM
    principal = plinth.client.run(run["id"])["principal"]
    assert principal in plinth.cli("get", name).out
    bill = plinth.cli("bill", "--by", "principal,meter", "--json").json
    found = {each["meter"] for each in bill["lines"] if each["principal"] == principal}
    assert {Meter.INPUT_TOKENS, Meter.REQUESTS} <= found
    made = [
        each
        for each in plinth.client.audit_log(limit=200)
        if each["subject"] == f"batch/{batch.id}"
    ]
    assert [each["action"] for each in made] == ["run"]


def test_other_addresses_than_chat_are_sent_too(plinth: Plinth, client: openai.OpenAI) -> None:
    body = {"model": "chat", "input": "ok-embed"}
    lines = [{"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": body}]
    content = json.dumps(lines[0]).encode()
    file = client.files.create(file=("e.jsonl", io.BytesIO(content)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
    )
    done = ended(client, batch)
    assert done.status == "completed", done
    (answer,) = lines_of(client, done.output_file_id)
    assert answer["response"]["body"]["data"][0]["embedding"] == [0.5, 0.25]
    assert done.error_file_id is None


def test_mistakes_are_told_by_line_and_nothing_is_sent(
    plinth: Plinth, client: openai.OpenAI, provider: BatchProvider
) -> None:
    wrong = line("m-5", "ok-m")
    wrong["body"]["model"] = "other"
    lines = [
        line("m-1", "ok-m"),
        line("m-1", "ok-m"),
        line("m-3", "ok-m", url="/v1/embeddings"),
        line("m-4", "ok-m", method="GET"),
        wrong,
    ]
    batch = ended(client, begin(client, lines))
    assert batch.status == "failed"
    assert batch.errors is not None
    found = [(each.line, each.code) for each in batch.errors.data or []]
    assert found == [
        (2, "duplicate_custom_id"),
        (3, "url_mismatch"),
        (4, "invalid_method"),
        (5, "model_not_found"),
    ]
    assert provider.asked["ok-m"] == 0
    assert batch.failed_at is not None
    assert batch.output_file_id is None


def test_files_are_listed_paged_read_and_deleted(plinth: Plinth, client: openai.OpenAI) -> None:
    made = [
        client.files.create(file=(f"f{n}.txt", b"x" * n), purpose="user_data") for n in range(1, 6)
    ]
    listed = [each.id for each in client.files.list(purpose="user_data", limit=2)]
    assert listed == [each.id for each in reversed(made)]
    oldest = client.files.list(purpose="user_data", order="asc", limit=1)
    assert [each.id for each in oldest.data] == [made[0].id]
    one = client.files.retrieve(made[2].id)
    assert (one.bytes, one.filename, one.purpose, one.object) == (3, "f3.txt", "user_data", "file")
    assert client.files.content(made[2].id).read() == b"xxx"
    assert client.files.delete(made[2].id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made[2].id)
    assert not list((plinth.home.storage / "files" / TEAM).glob(made[2].id))


def test_another_team_finds_neither_files_nor_batches(
    plinth: Plinth, client: openai.OpenAI
) -> None:
    batch = ended(client, begin(client, [line("t-1", "ok-t")]))
    with client_of(plinth, plinth.key("default", role="operator")) as stranger:
        for call in (
            lambda: stranger.files.retrieve(batch.input_file_id),
            lambda: stranger.files.content(batch.output_file_id or ""),
            lambda: stranger.files.delete(batch.input_file_id),
            lambda: stranger.batches.retrieve(batch.id),
            lambda: stranger.batches.cancel(batch.id),
            lambda: stranger.batches.create(
                input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h"
            ),
        ):
            with pytest.raises(openai.NotFoundError) as refused:
                call()
            assert refused.value.type == "invalid_request_error"
        assert stranger.batches.list().data == []
        # A model that it may not call is none for it.
        content = json.dumps(line("t", "ok-t")).encode()
        file = stranger.files.create(file=("t.jsonl", content), purpose="batch")
        failed = ended(
            stranger,
            stranger.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h"),
        )
        assert failed.errors is not None
        assert [each.code for each in failed.errors.data or []] == ["model_not_found"]


def test_a_viewer_reads_and_starts_nothing(plinth: Plinth, client: openai.OpenAI) -> None:
    batch = ended(client, begin(client, [line("v-1", "ok-v")]))
    with client_of(plinth, plinth.key(TEAM, role="viewer")) as viewer:
        assert viewer.batches.retrieve(batch.id).id == batch.id
        with pytest.raises(openai.PermissionDeniedError) as refused:
            viewer.files.create(file=("v.jsonl", b"{}"), purpose="batch")
        assert refused.value.type == "permission_error"
        with pytest.raises(openai.PermissionDeniedError):
            viewer.batches.create(
                input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h"
            )


def test_what_cannot_be_is_refused_as_openai_does(client: openai.OpenAI) -> None:
    file = client.files.create(file=("x.jsonl", b"{}\n"), purpose="batch")
    for asked in (
        {"endpoint": "/v1/images"},
        {"completion_window": "soon"},
        {"metadata": {"k": "v" * 600}},
        {"input_file_id": "file-none"},
    ):
        wanted = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **asked}
        with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
            client.batches.create(**wanted)  # type: ignore[call-overload]
        assert refused.value.type == "invalid_request_error"
        assert refused.value.message
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=("x.jsonl", b"{}\n"), purpose="fine-tune")


def test_a_cancelled_batch_keeps_what_it_has(
    plinth: Plinth, client: openai.OpenAI, provider: BatchProvider
) -> None:
    provider.slow_s = 0.2
    batch = begin(client, [line(f"c-{n}", f"ok-c-{n}") for n in range(600)])
    wait_for(lambda: sum(provider.answered[f"ok-c-{n}"] for n in range(600)) > 20, "some answers")
    asked = client.batches.cancel(batch.id)
    assert asked.status == "cancelling"
    done = ended(client, batch)
    assert (done.status, done.cancelled_at is not None) == ("cancelled", True)
    counts = done.request_counts
    assert counts is not None
    assert 20 <= counts.completed < 600
    answers = lines_of(client, done.output_file_id)
    errors = lines_of(client, done.error_file_id)
    assert len(answers) == counts.completed
    assert len(answers) + len(errors) == 600
    assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
    finished = ended(client, begin(client, [line("c", "ok-c")]))
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(finished.id)


def test_a_batch_whose_window_has_passed_expires_with_what_is_done(
    plinth: Plinth, client: openai.OpenAI, provider: BatchProvider
) -> None:
    provider.slow_s = 0.2
    batch = begin(client, [line(f"x-{n}", f"ok-x-{n}") for n in range(2000)], window="6s")
    done = ended(client, batch)
    assert (done.status, done.expired_at is not None) == ("expired", True)
    answers, errors = lines_of(client, done.output_file_id), lines_of(client, done.error_file_id)
    assert len(answers) + len(errors) == 2000
    assert answers
    assert {each["error"]["code"] for each in errors} == {"batch_expired"}


def test_limits_are_waited_for_and_no_line_is_lost(
    plinth: Plinth, client: openai.OpenAI, provider: BatchProvider
) -> None:
    provider.per_second = 25
    batch = begin(client, [line(f"l-{n}", f"ok-l-{n}") for n in range(120)])
    done = ended(client, batch)
    counts = done.request_counts
    assert counts is not None
    assert (done.status, counts.completed, counts.failed) == ("completed", 120, 0)
    assert provider.refused > 0
    # It is told by the first refusals to go slower, rather than to hammer on.
    assert provider.refused < 120
    assert all(provider.asked[f"ok-l-{n}"] == 1 for n in range(120))


@pytest.mark.parametrize("who", ["child", "supervisor", "all"])
def test_after_a_kill_no_line_is_lost_none_asked_again_and_each_billed_once(
    plinth: Plinth, client: openai.OpenAI, provider: BatchProvider, who: str
) -> None:
    provider.slow_s = 0.3
    says = [f"ok-{who}-{n}" for n in range(400)]
    batch = begin(client, [line(f"{who}-{n}", says[n]) for n in range(400)])

    def is_under_way(more: int) -> Callable[[], bool]:
        return lambda: sum(provider.answered[each] for each in says) >= more

    for number, more in enumerate((60, 160), start=1):
        wait_for(is_under_way(more), f"{more} answers")
        unit = f"{run_of(plinth, batch)['id']}.0.{number}"
        parts = plinth.identity(unit)
        names = ["child"] if who == "child" else ["supervisor"]
        pids = [int(parts[name]["pid"]) for name in names]
        if who == "all":
            pids.append(int(parts["child"]["pid"]))
            pids.append(plinth.pid_of("control"))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda pids=pids: not any(map(is_alive, pids)), "their end")
        if who == "all":
            wait_for(plinth.is_up, "the control plane")
    provider.slow_s = 0.0
    done = ended(client, batch)
    counts = done.request_counts
    assert counts is not None
    assert (done.status, counts.completed, counts.failed) == ("completed", 400, 0)
    answers = lines_of(client, done.output_file_id)
    assert sorted(each["custom_id"] for each in answers) == sorted(f"{who}-{n}" for n in range(400))
    # What was under way at a kill was asked again, and nothing else.
    again = sum(provider.asked[each] - 1 for each in says)
    assert again <= 2 * 32
    wait_for(
        lambda: billed(plinth, batch).get(Meter.REQUESTS) == 400,
        f"the bill {billed(plinth, batch)}",
    )
    assert billed(plinth, batch)[Meter.INPUT_TOKENS] == 400 * 7
    assert billed(plinth, batch)[Meter.OUTPUT_TOKENS] == 400 * 2
    assert len(plinth.client.run(run_of(plinth, batch)["id"])["attempts"]) == 3


def test_while_the_gateway_is_away_it_waits(
    plinth: Plinth, client: openai.OpenAI, provider: BatchProvider
) -> None:
    provider.slow_s = 0.1
    says = [f"ok-g-{n}" for n in range(200)]
    batch = begin(client, [line(f"g-{n}", each) for n, each in enumerate(says)])
    wait_for(lambda: sum(provider.answered[each] for each in says) > 30, "some answers")
    os.kill(plinth.pid_of("envoy"), signal.SIGKILL)
    wait_for(plinth.is_up, "the gateway")
    done = ended(client, batch)
    counts = done.request_counts
    assert counts is not None
    assert (done.status, counts.completed, counts.failed) == ("completed", 200, 0)


def test_a_node_that_goes_down_goes_on_when_it_is_up_again(
    plinth: Plinth, client: openai.OpenAI, provider: BatchProvider
) -> None:
    provider.slow_s = 0.4
    says = [f"ok-d-{n}" for n in range(1500)]
    batch = begin(client, [line(f"d-{n}", each) for n, each in enumerate(says)])
    wait_for(lambda: sum(provider.answered[each] for each in says) > 30, "some answers")
    plinth.cli("down", "--force")
    answered = sum(provider.answered[each] for each in says)
    assert answered < 1500
    provider.slow_s = 0.0
    plinth.up()
    done = ended(client, batch)
    counts = done.request_counts
    assert counts is not None
    assert (done.status, counts.completed) == ("completed", 1500)
    wait_for(lambda: billed(plinth, batch).get(Meter.REQUESTS) == 1500, "the bill")
    assert billed(plinth, batch)[Meter.INPUT_TOKENS] == 1500 * 7


def test_azures_client_finds_them_at_its_own_addresses(
    plinth: Plinth, client: openai.OpenAI
) -> None:
    batch = ended(client, begin(client, [line("z-1", "ok-z")]))
    key = plinth.key(TEAM, role="contributor")
    with openai.AzureOpenAI(
        azure_endpoint=plinth.address, api_key=key, api_version="2024-10-21", max_retries=0
    ) as azure:
        assert azure.batches.retrieve(batch.id).status == "completed"
        assert azure.files.retrieve(batch.output_file_id or "").purpose == "batch_output"
        made = azure.files.create(file=("z.txt", b"x"), purpose="user_data")
        assert azure.files.content(made.id).read() == b"x"


def test_the_example_asks_many_questions(plinth: Plinth) -> None:
    script = Path(__file__).parents[2] / "examples" / "chat" / "many.py"
    key = plinth.key(TEAM, role="contributor")
    done = subprocess.run(
        [sys.executable, str(script), "--url", f"{plinth.address}/v1", "--model", "chat"],
        env={**os.environ, "PLINTH_KEY": key},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # It shows each answer beside what it was asked: here the answer repeats the question.
    assert done.returncode == 0, done.stderr
    assert "Italy    echo What is the capital of Italy?" in done.stdout
    assert "tokens: 56 in, 16 out" in done.stdout


def test_nothing_runs_when_none_is_under_way(plinth: Plinth, client: openai.OpenAI) -> None:
    ended(client, begin(client, [line("n-1", "ok-n")]))
    assert not [unit for unit in plinth.units() if unit.startswith("r_")]
    assert not list(plinth.home.runs.rglob("journal.jsonl"))


def test_a_stopped_run_is_a_cancelled_batch(
    plinth: Plinth, client: openai.OpenAI, provider: BatchProvider
) -> None:
    provider.slow_s = 0.2
    batch = begin(client, [line(f"p-{n}", f"ok-p-{n}") for n in range(500)])
    wait_for(lambda: client.batches.retrieve(batch.id).status == "in_progress", "its run")
    wait_for(lambda: provider.answered["ok-p-3"], "an answer")
    plinth.cli("stop", batch.id.replace("_", "-"))
    assert ended(client, batch).status == "cancelled"


def test_uploads_and_batches_side_by_side(plinth: Plinth, client: openai.OpenAI) -> None:
    found: list[Batch] = []

    def one(number: int) -> None:
        lines = [line(f"u-{number}-{n}", f"ok-u-{number}-{n}") for n in range(30)]
        found.append(ended(client, begin(client, lines)))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [batch.status for batch in found] == ["completed"] * 4
    newest = [each.id for each in client.batches.list(limit=2)]
    assert {batch.id for batch in found} <= set(newest)
    assert len(newest) == len(set(newest))
