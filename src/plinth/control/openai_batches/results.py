"""Gather the results of a batch: the journal becomes a file of answers and one of errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from plinth.domain.tokens import MOST_TOKENS

# What OpenAI says of a line that was not sent, by the status that the batch ends with.
_UNSENT: Mapping[str, tuple[str, str]] = {
    "expired": (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    "cancelled": ("batch_cancelled", "This request was not executed: the batch was cancelled."),
    "failed": ("batch_failed", "This request was not executed: the batch failed."),
}
_NUMBERS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "total_tokens")


@dataclass(slots=True)
class Gathered:
    """What came of a batch. `errors`: lines of the file of errors, `failed` and unsent ones."""

    completed: int = 0
    failed: int = 0
    errors: int = 0
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_NUMBERS, 0))

    @property
    def done(self) -> int:
        """How many lines have a result."""
        return self.completed + self.failed

    def usage(self) -> dict[str, Any]:
        """Return the tokens that the answers report, in OpenAI's shape."""
        tokens = self.tokens
        return {
            "input_tokens": tokens["input_tokens"],
            "input_tokens_details": {"cached_tokens": tokens["cached_tokens"]},
            "output_tokens": tokens["output_tokens"],
            "output_tokens_details": {"reasoning_tokens": tokens["reasoning_tokens"]},
            "total_tokens": tokens["total_tokens"],
        }


def gather(
    journal: Path, input_file: Path, status: str, output: IO[str], errors: IO[str]
) -> Gathered:
    """Write the answers and the errors; return how many there are.

    `status`: how the batch ends, if not all lines have a result. Raises OSError.
    """
    found, done = Gathered(), set[int]()
    for record in _records(journal):
        if record["line"] in done:
            continue
        done.add(record["line"])
        line = json.dumps(record["result"], separators=(",", ":"))
        if record["ok"]:
            found.completed += 1
            _add_usage(found.tokens, record["result"]["response"]["body"])
            output.write(f"{line}\n")
        else:
            found.failed += 1
            errors.write(f"{line}\n")
    found.errors = found.failed + _write_unsent(input_file, done, status, errors)
    return found


def _records(journal: Path) -> Iterator[dict[str, Any]]:
    """Yield what the journal holds, without a line that is half written; there may be none."""
    if not journal.is_file() or journal.is_symlink():
        return
    with journal.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _write_unsent(input_file: Path, done: set[int], status: str, errors: IO[str]) -> int:
    if status not in _UNSENT:
        return 0
    code, message = _UNSENT[status]
    unsent = 0
    with input_file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if number in done or not line.strip():
                continue
            unsent += 1
            said = {
                "id": f"batch_req_{number}",
                "custom_id": json.loads(line)["custom_id"],
                "response": None,
                "error": {"code": code, "message": message},
            }
            errors.write(json.dumps(said, separators=(",", ":")) + "\n")
    return unsent


def _add_usage(tokens: dict[str, int], body: object) -> None:
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return
    given = _number(usage, "input_tokens") or _number(usage, "prompt_tokens")
    made = _number(usage, "output_tokens") or _number(usage, "completion_tokens")
    tokens["input_tokens"] += given
    tokens["output_tokens"] += made
    tokens["total_tokens"] += given + made
    for whole, part in (
        (("input_tokens_details", "prompt_tokens_details"), "cached_tokens"),
        (("output_tokens_details", "completion_tokens_details"), "reasoning_tokens"),
    ):
        details: Mapping[str, Any] = next(
            (usage[name] for name in whole if isinstance(usage.get(name), dict)), {}
        )
        tokens[part] += _number(details, part)


def _number(values: Mapping[str, Any], name: str) -> int:
    number = values.get(name)
    is_count = isinstance(number, int) and not isinstance(number, bool)
    # Beyond it, it counts for nothing, as in the ledger.
    return number if number is not None and is_count and 0 < number <= MOST_TOKENS else 0
