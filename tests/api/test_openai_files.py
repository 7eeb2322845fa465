"""Files are kept for a team, within limits, and given back as they came."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.api import openai_files
from plinth.domain.access import Role
from plinth.store.audit import Filter, list_entries
from tests.api.service import OTHER, TEAM, Service


def upload(service: Service, key: str, content: bytes = b"{}\n", **fields: str) -> Any:
    form = {"purpose": "batch", **fields}
    return service.call(
        key, "POST", "/openai/files", files={"file": ("in.jsonl", content)}, data=form
    )


@pytest.fixture
def key(service: Service) -> str:
    return service.caller(Role.CONTRIBUTOR, TEAM, home_team=TEAM)


def leftovers(service: Service) -> list[str]:
    folder = service.plane.home.storage
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_shown_as_openai_does_and_noted(service: Service, key: str) -> None:
    made = upload(service, key, b"hello").json()
    now = int(service.plane.clock.now().timestamp())
    assert made == {
        "id": made["id"],
        "object": "file",
        "bytes": 5,
        "created_at": now,
        "expires_at": now + 30 * 86400,
        "filename": "in.jsonl",
        "purpose": "batch",
        "status": "processed",
    }
    assert made["id"].startswith("file-")
    assert service.call(key, "GET", f"/openai/files/{made['id']}").json() == made
    content = service.call(key, "GET", f"/openai/files/{made['id']}/content")
    assert (content.content, content.headers["content-length"]) == (b"hello", "5")
    assert leftovers(service) == [f"files/{TEAM}/{made['id']}/content"]
    with service.plane.database.read() as connection:
        (entry,) = list_entries(connection, Filter(action="add"), limit=9)
    assert (entry.subject, entry.team) == (f"file/{made['id']}", TEAM)


def test_it_is_deleted_with_its_bytes(service: Service, key: str) -> None:
    made = upload(service, key).json()
    path = f"/openai/files/{made['id']}"
    answer = service.call(key, "DELETE", path).json()
    assert answer == {"id": made["id"], "object": "file", "deleted": True}
    assert leftovers(service) == []
    assert service.call(key, "GET", path).status_code == 404
    assert service.call(key, "DELETE", path).status_code == 404


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"purpose": "fine-tune"}, "purpose"),
        ({"purpose": ""}, "purpose"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "5"}, "expires_after"),
        ({"expires_after[anchor]": "now", "expires_after[seconds]": "5000"}, "expires_after"),
        ({"expires_after[seconds]": "soon"}, "expires_after"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_and_nothing_is_kept(
    service: Service, key: str, fields: dict[str, str], said: str
) -> None:
    answer = upload(service, key, **fields)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert leftovers(service) == []


def test_a_form_without_a_file_is_refused(service: Service, key: str) -> None:
    answer = service.call(
        key, "POST", "/openai/files", files={"other": ("a", b"x")}, data={"purpose": "batch"}
    )
    assert answer.status_code == 400
    assert "no `file`" in answer.json()["error"]["message"]


def test_an_expiry_that_is_asked_for_holds(service: Service, key: str) -> None:
    expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made = upload(service, key, **expiry).json()
    assert made["expires_at"] == made["created_at"] + 3600
    service.plane.clock.advance(3601)
    assert service.call(key, "GET", f"/openai/files/{made['id']}").status_code == 404


@pytest.mark.parametrize("slack", [0, 1_000_000])
def test_one_that_is_too_large_is_refused(
    service: Service, key: str, slack: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_files, "MOST_FILE_BYTES", 1000)
    # Within what a form may have around its file, and beyond it.
    answer = upload(service, key, b"x" * (1001 + slack))
    assert answer.status_code == 413
    assert leftovers(service) == []
    assert upload(service, key, b"x" * 1000).status_code == 200


def test_lists_go_on_where_a_page_ends(service: Service, key: str) -> None:
    made = []
    for _ in range(3):
        made.append(upload(service, key).json()["id"])
        service.plane.clock.advance(1)
    first = service.call(key, "GET", "/openai/files", params={"limit": 2}).json()
    assert [each["id"] for each in first["data"]] == [made[2], made[1]]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, made[2], made[1])
    after = {"limit": 2, "after": first["last_id"]}
    rest = service.call(key, "GET", "/openai/files", params=after).json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([made[0]], False)
    assert service.call(key, "GET", "/openai/files", params={"after": "file-x"}).status_code == 404


def test_a_team_that_is_named_is_asked_for_its_own(service: Service, key: str) -> None:
    made = upload(service, key).json()["id"]
    headers = {"openai-project": TEAM}
    both = service.caller(Role.VIEWER, TEAM, home_team=OTHER)
    own = service.call(both, "GET", "/openai/files").json()["data"]
    named = service.call(both, "GET", "/openai/files", headers=headers).json()["data"]
    assert ([each["id"] for each in own], [each["id"] for each in named]) == ([], [made])
    stranger = service.caller(home_team=OTHER)
    assert service.call(stranger, "GET", "/openai/files", headers=headers).status_code == 404
