"""What is done with each answer: kept, asked again, or a reason to stop."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from plinth.runtimes.requestrunner.journal import Journal
from plinth.runtimes.requestrunner.sender import Answer, Fate, Sender
from plinth.runtimes.requestrunner.source import Request, read_requests
from plinth.runtimes.requestrunner.work import TRIES, Work

URL = "/v1/chat/completions"


class FakeSender:
    """Answers by a script for each line; its last entry again and again."""

    def __init__(self, scripts: dict[int, list[Answer]]) -> None:
        self.scripts = scripts
        self.sent: Counter[int] = Counter()
        self._lock = threading.Lock()

    def id_of(self, request: Request) -> str:
        return f"q_x-{request.line}"

    def send(self, request: Request) -> Answer:
        with self._lock:
            script = self.scripts.get(request.line, [Answer(Fate.GOOD, 200, {"ok": True})])
            at = min(self.sent[request.line], len(script) - 1)
            self.sent[request.line] += 1
        return script[at]

    def close(self) -> None:
        """There is nothing to close."""


def requests(count: int, without: frozenset[int] = frozenset()) -> Iterator[Request]:
    for line in range(1, count + 1):
        if line not in without:
            yield Request(line, f"c-{line}", URL, b"{}")


def work_of(tmp_path: Path, sender: FakeSender, count: int = 10) -> tuple[Work, Journal, bool]:
    journal = Journal(tmp_path / "journal.jsonl")
    rest = requests(count, frozenset(journal.done))
    work = Work(rest, journal, lambda: sender, at_once=4, first_wait_s=0.001)  # type: ignore[arg-type, return-value]
    is_whole = work.run(tmp_path, count, patience_s=5)
    return work, journal, is_whole


def results(tmp_path: Path) -> dict[int, Any]:
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    return {json.loads(each)["line"]: json.loads(each) for each in lines}


def test_each_line_gets_its_result_in_openais_shape(tmp_path: Path) -> None:
    _, journal, is_whole = work_of(tmp_path, FakeSender({}))
    assert (is_whole, journal.completed, journal.failed) == (True, 10, 0)
    assert results(tmp_path)[3]["result"] == {
        "id": "batch_req_q_x-3",
        "custom_id": "c-3",
        "response": {"status_code": 200, "request_id": "q_x-3", "body": {"ok": True}},
        "error": None,
    }
    said = json.loads((tmp_path / "progress.json").read_text())
    assert (said["completed"], said["failed"]) == (10, 0)


def test_a_refused_line_is_an_error_and_is_not_asked_again(tmp_path: Path) -> None:
    sender = FakeSender({4: [Answer(Fate.BAD, 400, {"error": {"message": "no"}})]})
    _, journal, is_whole = work_of(tmp_path, sender)
    assert (is_whole, journal.failed, sender.sent[4]) == (True, 1, 1)
    found = results(tmp_path)[4]
    assert not found["ok"]
    assert found["result"]["response"]["status_code"] == 400


def test_trouble_is_tried_again_and_then_an_error(tmp_path: Path) -> None:
    bad = Answer(Fate.TROUBLED, 503, "away", after_s=0.001)
    sender = FakeSender({2: [bad, bad, Answer(Fate.GOOD, 200, {})], 5: [bad]})
    _, journal, is_whole = work_of(tmp_path, sender)
    assert (is_whole, journal.completed, journal.failed) == (True, 9, 1)
    assert (sender.sent[2], sender.sent[5]) == (3, TRIES)
    assert results(tmp_path)[5]["result"]["response"]["status_code"] == 503


def test_a_line_without_any_answer_has_an_error_and_no_response(tmp_path: Path) -> None:
    sender = FakeSender({1: [Answer(Fate.TROUBLED, body="no answer: reset", after_s=0.001)]})
    work_of(tmp_path, sender)
    result = results(tmp_path)[1]["result"]
    assert result["response"] is None
    assert result["error"] == {"code": "request_failed", "message": "no answer: reset"}


def test_limits_are_waited_for_as_often_as_it_takes(tmp_path: Path) -> None:
    limited = [Answer(Fate.LIMITED, 429, {}, after_s=0.001)] * 20
    sender = FakeSender({3: [*limited, Answer(Fate.GOOD, 200, {})]})
    _, journal, is_whole = work_of(tmp_path, sender)
    assert (is_whole, journal.completed, sender.sent[3]) == (True, 10, 21)


def test_a_key_that_is_gone_ends_it_with_what_is_done(tmp_path: Path) -> None:
    sender = FakeSender({line: [Answer(Fate.NO_KEY, 401, {})] for line in range(6, 11)})
    work, journal, is_whole = work_of(tmp_path, sender)
    assert (is_whole, work.key_is_gone) == (False, True)
    assert journal.done == {1, 2, 3, 4, 5}


def test_the_next_one_asks_only_what_has_no_result(tmp_path: Path) -> None:
    first = FakeSender({7: [Answer(Fate.NO_KEY, 401, {})]})
    _, journal, _ = work_of(tmp_path, first)
    done = set(journal.done)
    journal.close()
    second = FakeSender({})
    _, journal, is_whole = work_of(tmp_path, second)
    assert is_whole
    assert set(second.sent) == set(range(1, 11)) - done


def test_a_full_disk_ends_it_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def add(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "add", add)
    work, _, is_whole = work_of(tmp_path, FakeSender({}))
    assert not is_whole
    assert work.failure is not None
    assert "No space" in work.failure


def test_lines_are_read_without_what_is_done_and_without_empty_ones(tmp_path: Path) -> None:
    lines = [
        json.dumps({"custom_id": f"c-{n}", "url": URL, "body": {"model": "ü", "n": n}})
        for n in (1, 2, 3)
    ]
    (tmp_path / "in").write_text("\n".join([lines[0], "", lines[1], lines[2]]))
    found = list(read_requests(tmp_path / "in", {3}))
    assert [(each.line, each.custom_id) for each in found] == [(1, "c-1"), (4, "c-3")]
    assert json.loads(found[0].body) == {"model": "ü", "n": 1}
    assert found[0].body == '{"model":"ü","n":1}'.encode()


def test_half_a_character_is_sent_as_it_was_written(tmp_path: Path) -> None:
    line = '{"custom_id": "c", "url": "/v1", "body": {"model": "\\ud800"}}'
    (tmp_path / "in").write_text(line)
    (found,) = read_requests(tmp_path / "in", ())
    assert found.body == b'{"model":"\\ud800"}'


@contextmanager
def serving(status: int, body: bytes, headers: dict[str, str]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            assert self.headers["idempotency-key"] == "q_x-1"
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


OUR_KEY = b'{"error":{"code":"key_revoked"}}'
THEIR_KEY = b'{"error":{"code":"invalid_api_key"}}'


@pytest.mark.parametrize(
    ("status", "body", "headers", "fate", "after_s"),
    [
        (200, b'{"a": 1}', {}, Fate.GOOD, None),
        (200, b"no json", {}, Fate.GOOD, None),
        (200, b'{"a": NaN}', {}, Fate.GOOD, None),
        (429, b"{}", {"retry-after": "7"}, Fate.LIMITED, 7.0),
        (429, b"{}", {"retry-after": "inf"}, Fate.LIMITED, None),
        (429, b"{}", {"retry-after": "Mon, 1 Jan"}, Fate.LIMITED, None),
        (429, b"{}", {"retry-after": "99999999"}, Fate.LIMITED, 3600.0),
        (503, b"{}", {"retry-after": "2"}, Fate.TROUBLED, 2.0),
        (408, b"{}", {}, Fate.TROUBLED, None),
        (404, b"{}", {}, Fate.BAD, None),
        (401, OUR_KEY, {}, Fate.NO_KEY, None),
        (401, THEIR_KEY, {}, Fate.BAD, None),
    ],
)
def test_what_follows_from_an_answer(
    status: int, body: bytes, headers: dict[str, str], fate: Fate, after_s: float | None
) -> None:
    with serving(status, body, headers) as address:
        sender = Sender(address, "plk_x", "q_x")
        request = Request(1, "c", URL, b"{}")
        answers = [sender.send(request), sender.send(request)]
        sender.close()
    assert [(each.fate, each.status, each.after_s) for each in answers] == [
        (fate, status, after_s)
    ] * 2
    # Whatever it is, it can be written as JSON.
    json.dumps(answers[0].body, allow_nan=False)


def test_a_gateway_that_is_away_is_no_answer() -> None:
    with serving(200, b"{}", {}) as address:
        pass
    assert Sender(address, "plk_x", "q_x").send(Request(1, "c", URL, b"{}")).fate is Fate.AWAY
