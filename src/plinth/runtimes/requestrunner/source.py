"""Read the requests of a file, one line after the other. They were checked before the start."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One line: its number, from 1 on, what its author calls it, where it goes and what it says."""

    line: int
    custom_id: str
    url: str
    body: bytes


def read_requests(path: Path, without: Container[int]) -> Iterator[Request]:
    """Yield the requests in the file's order, but for those of some lines."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if number in without or not line.strip():
                continue
            said = json.loads(line)
            yield Request(number, said["custom_id"], said["url"], _written(said["body"]))


def _written(body: Any) -> bytes:
    """Write a body as short as it is: what was checked to fit must not grow."""
    try:
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:  # Half of a character, which only JSON can write.
        return json.dumps(body, separators=(",", ":")).encode()
