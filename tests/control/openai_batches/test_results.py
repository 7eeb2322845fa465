"""The journal becomes files: each line once, with its tokens, and what was not sent."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from plinth.control.openai_batches.results import Gathered, gather
from tests.control.openai_batches.batches import lines


def record(line: int, body: Any, *, ok: bool = True) -> str:
    result = {"custom_id": f"c-{line}", "response": {"status_code": 200, "body": body}}
    return json.dumps({"line": line, "ok": ok, "result": result}) + "\n"


def gathered(tmp_path: Path, journal: str | None, status: str) -> tuple[Gathered, list[Any], Any]:
    (tmp_path / "in").write_text("".join(f"{json.dumps(each)}\n\n" for each in lines(3)))
    if journal is not None:
        (tmp_path / "j").write_text(journal)
    output, errors = io.StringIO(), io.StringIO()
    found = gather(tmp_path / "j", tmp_path / "in", status, output, errors)
    read = [[json.loads(each) for each in io_.getvalue().splitlines()] for io_ in (output, errors)]
    return found, read[0], read[1]


def test_a_line_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    journal = record(1, {"n": "first"}) + record(1, {"n": "second"}) + record(3, {}, ok=False)
    found, output, errors = gathered(tmp_path, journal, "completed")
    assert (found.completed, found.failed, found.errors) == (1, 1, 1)
    assert output[0]["response"]["body"] == {"n": "first"}
    assert errors[0]["custom_id"] == "c-3"


def test_without_a_journal_nothing_was_sent(tmp_path: Path) -> None:
    found, output, errors = gathered(tmp_path, None, "cancelled")
    assert (found.done, output, len(errors)) == (0, [], 3)
    assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
    assert all(each["response"] is None for each in errors)


def test_tokens_are_added_up_in_both_of_openais_shapes(tmp_path: Path) -> None:
    chat = {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    response = {
        "input_tokens": 5,
        "output_tokens": 2,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens_details": None,
    }
    journal = record(1, {"usage": chat}) + record(3, {"usage": response})
    found, *_ = gathered(tmp_path, journal, "completed")
    assert found.usage() == {
        "input_tokens": 15,
        "input_tokens_details": {"cached_tokens": 7},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 21,
    }


def test_usage_that_cannot_be_is_nothing(tmp_path: Path) -> None:
    odd = [7, None, "x", {"prompt_tokens": -5, "completion_tokens": True}, {"prompt_tokens": 1.5}]
    odd.append({"prompt_tokens": 10**300, "completion_tokens": 10**16})
    journal = "".join(record(n, {"usage": each}) for n, each in enumerate(odd, start=1))
    found, *_ = gathered(tmp_path, journal + record(9, "text"), "completed")
    assert found.usage()["total_tokens"] == 0
