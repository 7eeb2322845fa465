"""Files and batches for the tests: made as the API does, sent by an engine in memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plinth.control.openai_batches.preparation import file_key
from plinth.control.openai_batches.progress import folder_of, journal_of
from plinth.control.openai_batches.service import (
    NewBatch,
    NewFile,
    create_batch,
    keep_file,
    new_file_id,
)
from plinth.kit.ids import digest_of
from plinth.store.openai_batches import StoredBatch, find_batch
from plinth.store.openai_files import StoredFile, find_file
from tests.control.plane import TEAM, Plane

CHAT = "/v1/chat/completions"
EXTERNAL = {"url": "https://1.1.1.1/v1", "protocol": "openai"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 2}


def line(custom_id: str, **changes: Any) -> dict[str, Any]:
    body = {"model": "chat", "messages": []}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **changes}


def lines(count: int) -> list[dict[str, Any]]:
    return [line(f"c-{number}") for number in range(1, count + 1)]


def put(plane: Plane, content: bytes, *, team: str = TEAM, **fields: Any) -> StoredFile:
    file_id = new_file_id()
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        plane.context.storage.put_file(Path(file.name), file_key(team, file_id))
    shared = {"purpose": "batch", "name": "in.jsonl", **fields}
    new = NewFile(
        id=file_id, team=team, size_bytes=len(content), digest=digest_of(content), **shared
    )
    with plane.write() as connection:
        return keep_file(connection, plane.context, plane.actor(), new)


def make(plane: Plane, requests: Sequence[Any], window: str = "24h", **fields: Any) -> str:
    """Make a batch of these requests for an endpoint `chat`; return its id."""
    content = "".join(f"{json.dumps(each)}\n" for each in requests).encode()
    file = put(plane, content)
    asked = NewBatch(input_file_id=file.id, endpoint=CHAT, completion_window=window, **fields)
    with plane.write() as connection:
        return create_batch(connection, plane.context, plane.actor(), asked, file).id


def stored(plane: Plane, batch_id: str) -> StoredBatch:
    with plane.database.read() as connection:
        found = find_batch(connection, batch_id)
    assert found is not None
    return found


def unit_of(plane: Plane, batch_id: str, attempt: int = 1) -> str:
    return f"{stored(plane, batch_id).run}.0.{attempt}"


def until_sent(plane: Plane, batch_id: str) -> None:
    """Step until the process that sends it has been started."""
    plane.until(lambda: any(each == unit_of(plane, batch_id) for each in plane.world.starts))


def write_results(
    plane: Plane, batch_id: str, good: Sequence[int], bad: Sequence[int] = ()
) -> None:
    """Write what the process would write for these lines."""
    run = stored(plane, batch_id).run
    assert run is not None
    folder_of(plane.context, run).mkdir(parents=True, exist_ok=True)
    with journal_of(plane.context, run).open("a") as journal:
        for number in (*good, *bad):
            ok = number in good
            body = {"usage": USAGE} if ok else {"error": {"message": "no"}}
            response = {"status_code": 200 if ok else 400, "request_id": "x", "body": body}
            result = {"id": "x", "custom_id": f"c-{number}", "response": response, "error": None}
            journal.write(json.dumps({"line": number, "ok": ok, "result": result}) + "\n")
    said = {"completed": len(good), "failed": len(bad), "at_once": 4, "waits_s": 0.0}
    (folder_of(plane.context, run) / "progress.json").write_text(json.dumps(said))


def content_of(plane: Plane, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    with plane.database.read() as connection:
        file = find_file(connection, file_id, plane.clock.now())
    assert file is not None
    with plane.context.storage.open(file_key(file.team, file.id)) as stream:
        content = stream.read()
    assert (len(content), digest_of(content)) == (file.size_bytes, file.digest)
    return [json.loads(each) for each in content.splitlines()]
