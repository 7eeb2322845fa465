"""Batches in OpenAI's shape, and against its own specification where that is at hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from plinth.domain.access import Role
from plinth.store.audit import Filter, list_entries
from tests.api.service import TEAM, Service
from tests.control.openai_batches.batches import (
    CHAT,
    EXTERNAL,
    lines,
    put,
    stored,
    unit_of,
    until_sent,
    write_results,
)

SPECIFICATION = Path(__file__).parents[3] / "shared" / "data" / "specs" / "openai-openapi.json.gz"


@pytest.fixture
def key(service: Service) -> str:
    return service.caller(Role.CONTRIBUTOR, TEAM, home_team=TEAM)


def asked(service: Service, count: int = 2, **fields: Any) -> dict[str, Any]:
    content = "".join(f"{json.dumps(each)}\n" for each in lines(count)).encode()
    file = put(service.plane, content)
    return {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **fields}


def create(service: Service, key: str, count: int = 2, **fields: Any) -> dict[str, Any]:
    answer = service.call(key, "POST", "/openai/batches", json=asked(service, count, **fields))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def shown(service: Service, key: str, batch: str) -> dict[str, Any]:
    found: dict[str, Any] = service.call(key, "GET", f"/openai/batches/{batch}").json()
    return found


def test_a_batch_begins_as_validating_with_everything_else_unknown(
    service: Service, key: str
) -> None:
    made = create(service, key, metadata={"a": "b"})
    now = int(service.plane.clock.now().timestamp())
    assert (made["status"], made["object"], made["endpoint"]) == ("validating", "batch", CHAT)
    assert (made["created_at"], made["expires_at"]) == (now, now + 86400)
    assert made["metadata"] == {"a": "b"}
    assert made["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    for name in ("output_file_id", "error_file_id", "errors", "in_progress_at", "completed_at"):
        assert made[name] is None
    assert shown(service, key, made["id"]) == made
    with service.plane.database.read() as connection:
        (entry,) = list_entries(connection, Filter(action="run"), limit=9)
    assert (entry.subject, entry.team) == (f"batch/{made['id']}", TEAM)


def test_its_files_are_named_when_they_are_there(service: Service, key: str) -> None:
    plane = service.plane
    plane.apply(name="chat", external=EXTERNAL)
    batch = create(service, key)["id"]
    until_sent(plane, batch)
    write_results(plane, batch, good=[1], bad=[2])
    plane.world.end(unit_of(plane, batch))
    plane.until(lambda: stored(plane, batch).status == "finalizing")
    assert shown(service, key, batch)["output_file_id"] is None
    plane.until(lambda: stored(plane, batch).has_ended)
    done = shown(service, key, batch)
    assert done["status"] == "completed"
    for name in ("output_file_id", "error_file_id"):
        answer = service.call(key, "GET", f"/openai/files/{done[name]}/content")
        assert len(answer.text.splitlines()) == 1
    file = service.call(key, "GET", f"/openai/files/{done['output_file_id']}").json()
    assert (file["purpose"], file["filename"]) == ("batch_output", f"{batch}_output.jsonl")


def test_a_cancelled_one_says_so_once(service: Service, key: str) -> None:
    batch = create(service, key)["id"]
    for _ in range(2):
        answer = service.call(key, "POST", f"/openai/batches/{batch}/cancel").json()
        assert (answer["status"], answer["cancelling_at"] is None) == ("cancelling", False)
    with service.plane.database.read() as connection:
        assert len(list_entries(connection, Filter(action="stop"), limit=9)) == 1
    service.plane.until(lambda: stored(service.plane, batch).has_ended)
    assert shown(service, key, batch)["cancelled_at"] is not None


def test_lists_go_on_where_a_page_ends(service: Service, key: str) -> None:
    made = []
    for _ in range(3):
        made.append(create(service, key)["id"])
        service.plane.clock.advance(1)
    first = service.call(key, "GET", "/openai/batches", params={"limit": 2}).json()
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (made[:0:-1], True)
    after = {"after": first["last_id"]}
    rest = service.call(key, "GET", "/openai/batches", params=after).json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (made[:1], False)
    assert service.call(key, "GET", "/openai/batches?after=batch_x").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_file_id": None},
        {"metadata": {"a": 1}},
        {"metadata": "text"},
        {"unknown": 1},
        {"completion_window": "1y"},
        {"endpoint": "/v1/images/generations"},
        {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
    ],
    ids=str,
)
def test_what_is_wrong_is_a_bad_request(service: Service, key: str, wrong: dict[str, Any]) -> None:
    answer = service.call(key, "POST", "/openai/batches", json=asked(service, **wrong))
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


# -- OpenAI's own specification -----------------------------------------------------------------


def specified(name: str) -> Any:
    if not SPECIFICATION.is_file():
        pytest.skip("OpenAI's specification is not on this machine")
    document = json.loads(gzip.decompress(SPECIFICATION.read_bytes()))
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


def told(value: Any) -> Any:
    """Leave out what is null: the real API sends it where its schema names a text only."""
    if isinstance(value, dict):
        return {name: told(each) for name, each in value.items() if each is not None}
    return [told(each) for each in value] if isinstance(value, list) else value


def test_every_answer_is_as_openai_specifies(service: Service, key: str) -> None:
    plane = service.plane
    plane.apply(name="chat", external=EXTERNAL)
    batch, failed = create(service, key)["id"], create(service, key, 0)["id"]
    until_sent(plane, batch)
    write_results(plane, batch, good=[1], bad=[2])
    specified("Batch").validate(told(shown(service, key, batch)))
    plane.world.end(unit_of(plane, batch))
    plane.until(lambda: all(stored(plane, each).has_ended for each in (batch, failed)))
    for each in (batch, failed):
        specified("Batch").validate(told(shown(service, key, each)))
    listed = service.call(key, "GET", "/openai/batches").json()
    specified("ListBatchesResponse").validate(told(listed))
    files = service.call(key, "GET", "/openai/files").json()
    specified("ListFilesResponse").validate(told(files))
    specified("OpenAIFile").validate(told(files["data"][0]))
    deleted = service.call(key, "DELETE", f"/openai/files/{files['data'][0]['id']}").json()
    specified("DeleteFileResponse").validate(deleted)
    error = service.call(key, "GET", "/openai/files/file-x").json()
    specified("ErrorResponse").validate(error)
