"""Bodies are taken as they come, within a limit, and nothing half stays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from plinth.api import datasets, snapshots, uploads
from plinth.api.app import create_app
from plinth.api.uploads import MOST_AT_ONCE
from plinth.control.preparation import code_key
from plinth.domain.access import Principal, Role
from plinth.kit.ids import digest_of
from plinth.store.audit import Filter, list_entries
from plinth.store.data_versions import list_data_versions
from plinth.store.identities import delete_grant, list_grants, revoke_keys_of
from tests.api.service import CSV, OTHER, TEAM, Service, TestClient, error_of
from tests.control.plane import make_plane


def leftovers(service: Service) -> list[str]:
    folder = service.plane.home.storage
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def put_code(service: Service, digest: str, content: Any, team: str = TEAM) -> Any:
    options = {"params": {"team": team}, "content": content}
    return service.call(service.admin, "PUT", f"/code/{digest}", **options)


def test_code_is_stored_under_its_digest_once(service: Service) -> None:
    content = b"bytes" * 1000
    digest = digest_of(content)
    answer = put_code(service, digest, content)
    assert answer.json() == {"digest": digest, "uploaded": True}
    assert put_code(service, digest, content).json() == {"digest": digest, "uploaded": False}
    assert leftovers(service) == [f"code/{TEAM}/{digest}.tar.gz"]


def test_code_with_another_digest_is_refused_and_gone(service: Service) -> None:
    answer = put_code(service, "0" * 64, b"bytes")
    assert answer.status_code == 400
    assert digest_of(b"bytes") in error_of(answer)["message"]
    assert leftovers(service) == []


def test_each_team_has_its_own_code(service: Service) -> None:
    digest = digest_of(b"bytes")
    assert put_code(service, digest, b"bytes").json()["uploaded"]
    assert put_code(service, digest, b"bytes", OTHER).json()["uploaded"]
    service.plane.context.storage.delete(code_key(TEAM, digest))
    body = {
        "workload": {"kind": "job", "name": "a", "team": TEAM, "command": ["x"]},
        "code_digest": digest,
    }
    answer = service.call(service.admin, "POST", "/runs", json=body)
    assert "was not uploaded" in error_of(answer)["message"]
    assert put_code(service, digest, b"bytes", "absent").status_code == 404


@pytest.mark.parametrize("digest", ["..", "%2e%2e", ".hidden", "a b", "x" * 64])
def test_what_is_no_digest_is_refused(service: Service, digest: str) -> None:
    assert put_code(service, digest, b"bytes").status_code in (400, 404, 405)
    assert leftovers(service) == []


def test_a_body_over_the_limit_is_refused_as_it_comes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "MOST_CODE_BYTES", 1000)
    taken = []

    def body() -> Any:
        for _ in range(50):
            taken.append(1)
            yield b"x" * 100

    answer = put_code(service, "0" * 64, body())
    assert (answer.status_code, error_of(answer)["code"]) == (413, "too_large")
    assert "1 kB" in error_of(answer)["message"]
    assert leftovers(service) == []


def test_data_over_the_limit_is_refused(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "MOST_DATA_BYTES", 3)
    params = {"file_name": "a.csv", "team": TEAM}
    answer = service.call(service.admin, "PUT", "/data/a", params=params, content=b"a\n1\n2\n")
    assert answer.status_code == 413


class Caller:
    """An upload of which the test sends every piece itself, on the application's event loop."""

    def __init__(self, service: Service, path: str = "data/slow", key: str | None = None) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._portal = service.client.portal
        assert self._portal is not None
        self._pieces: asyncio.Queue[Any] = asyncio.Queue()
        scope = {
            "type": "http",
            "method": "PUT",
            "path": f"/api/v1/{path}",
            "raw_path": b"",
            "query_string": f"team={TEAM}&file_name=a.csv".encode(),
            "headers": [(b"authorization", f"Bearer {key or service.admin}".encode())],
            "app": service.app,
        }
        self._answer = self._portal.start_task_soon(
            service.app, scope, self._pieces.get, self._note
        )

    def send(self, body: bytes, *, last: bool = False) -> None:
        self._put({"type": "http.request", "body": body, "more_body": not last})

    def leave(self) -> None:
        self._put({"type": "http.disconnect"})

    def wait(self) -> int:
        self._answer.result(10)
        return self.status

    def _put(self, piece: Any) -> None:
        assert self._portal is not None
        self._portal.call(self._pieces.put, piece)

    async def _note(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])


def until(claim: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_caller_that_goes_away_leaves_nothing_and_no_alarm(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caller = Caller(service)
    caller.send(b"half")
    caller.leave()
    assert caller.wait() == 400
    assert leftovers(service) == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


ADDRESSES = (f"code/{digest_of(CSV)}", f"diffs/{digest_of(CSV)}", "data/flights")


def revoke(service: Service, holder: Principal) -> None:
    with service.plane.write() as connection:
        revoke_keys_of(connection, holder.id, service.plane.clock.now())


def take_role(service: Service, holder: Principal) -> None:
    with service.plane.write() as connection:
        for stored in list_grants(connection):
            if stored.grant.principal == holder.id:
                delete_grant(connection, stored.id)


def let_expire(service: Service, _holder: Principal) -> None:
    service.plane.clock.advance(2 * 86_400)


@pytest.mark.parametrize("path", ADDRESSES, ids=["code", "diff", "data"])
@pytest.mark.parametrize(
    ("happens", "status"), [(revoke, 401), (let_expire, 401), (take_role, 404)]
)
def test_what_came_with_a_key_that_ended_meanwhile_is_not_kept(
    service: Service, path: str, happens: Callable[[Service, Principal], None], status: int
) -> None:
    holder = service.principal(Role.CONTRIBUTOR)
    caller = Caller(service, path, service.key_of(holder))
    caller.send(CSV[:4])
    until(lambda: leftovers(service) != [])
    happens(service, holder)
    caller.send(CSV[4:], last=True)
    assert caller.wait() == status
    assert leftovers(service) == []
    with service.plane.database.read() as connection:
        assert list_data_versions(connection) == []
    service.plane.parts.refusals.flush()
    with service.plane.database.read() as connection:
        (refused,) = list_entries(connection, Filter(outcome="denied"), limit=9)
    assert refused.principal == holder.id


def test_slow_uploads_stop_nobody_else_and_are_limited(service: Service) -> None:
    slow = [Caller(service, f"data/slow-{number}") for number in range(MOST_AT_ONCE)]
    for caller in slow:
        caller.send(b"a\n")
    until(lambda: len(leftovers(service)) == MOST_AT_ONCE)
    more = [Caller(service) for _ in range(60)]
    assert {caller.wait() for caller in more} == {429}
    assert {caller.headers[b"retry-after"] for caller in more} == {b"5"}
    answer = put_code(service, digest_of(b"bytes"), b"bytes")
    assert (answer.status_code, error_of(answer)["code"]) == (429, "busy")
    assert service.call(service.admin, "GET", "/runs").status_code == 200
    for caller in slow:
        caller.send(b"1\n", last=True)
    assert {caller.wait() for caller in slow} == {200}
    assert put_code(service, digest_of(b"bytes"), b"bytes").status_code == 200


def test_an_upload_that_pauses_for_long_is_ended(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LONGEST_PAUSE_S", 0.01)
    caller = Caller(service)
    caller.send(b"half")
    assert caller.wait() == 408
    assert leftovers(service) == []


def test_what_a_killed_control_plane_left_is_swept_at_the_start_and_no_others() -> None:
    with make_plane() as plane:
        folder = plane.home.storage / ".uploads"
        for name in ("control", "control-2"):
            (folder / name).mkdir(parents=True)
            (folder / name / "tmpabc").write_bytes(b"half")
        # Of a Plinth that was the only one of its home.
        (folder / "tmpabc").write_bytes(b"half")
        app = create_app(plane.context, plane.parts, lambda: None, lambda: None)
        with TestClient(app):
            left = [path for path in folder.rglob("*") if path.is_file()]
            assert left == [folder / "control-2" / "tmpabc"]


def test_the_start_of_a_control_plane_ends_no_upload_of_another(service: Service) -> None:
    caller = Caller(service)
    caller.send(b"a\n")
    until(lambda: len(leftovers(service)) == 1)
    plane = service.plane
    second = create_app(plane.context, plane.parts, lambda: None, lambda: None, name="control-2")
    with TestClient(second):
        caller.send(b"1\n", last=True)
        assert caller.wait() == 200
