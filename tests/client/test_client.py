"""The client says what the API says, as values and as our own errors."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from plinth.client.client import Client
from plinth.domain.access import Role
from plinth.domain.workload import Job
from plinth.kit.archive import pack
from plinth.kit.errors import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    PlinthError,
    Temporary,
    TooLarge,
    Unauthenticated,
)
from tests.api.service import CSV, TEAM, Service
from tests.client.connection import connect
from tests.control.plane import endpoint_of


def job_of(**fields: Any) -> Job:
    return Job.model_validate(
        {"kind": "job", "name": "train", "team": TEAM, "command": ["python", "x.py"], **fields}
    )


def test_a_job_is_submitted_watched_stopped_and_deleted(
    service: Service, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "x.py").write_text("pass")
    code = pack(tmp_path)
    assert client.put_code(code.digest, code.content, team=TEAM)["uploaded"] is True
    run = client.submit(job_of(), code_digest=code.digest)
    assert client.runs(kind="job", active=True)[0]["id"] == run["id"]
    service.plane.until(lambda: bool(service.plane.world.starts))
    service.plane.world.replicas[f"{run['id']}.0.1"].output = b"hello"
    assert client.logs(run["id"], attempt=1) == (b"hello", 5, "running")
    client.stop_run(run["id"])
    service.plane.until(lambda: service.plane.run(run["id"]).closed)
    assert client.run(run["id"])["phase"] == "stopped"
    service.plane.parts.metering.collect()
    assert client.delete_run(run["id"]) == {"deleted": run["id"]}


def test_what_the_file_leaves_out_stays_left_out(service: Service, client: Client) -> None:
    run = client.submit(job_of())
    assert service.plane.run(run["id"]).workload.resources.model_fields_set == set()


def test_an_endpoint_is_applied_stopped_and_deleted(service: Service, client: Client) -> None:
    service.plane.tracking.add_model(TEAM, "m", ("champion",))
    assert client.apply(endpoint_of())["changed"] is True
    assert [each["name"] for each in client.endpoints()] == ["delay"]
    assert client.endpoint("delay")["desired"] == "run"
    assert client.stop_endpoint("delay")["desired"] == "stop"
    assert client.delete_endpoint("delay")["desired"] == "delete"
    assert client.models()[0]["name"] == "m"


def test_identities_are_made_and_taken_away(client: Client) -> None:
    assert client.whoami()["principal"]["id"] == "admin"
    assert client.add_team("fresh")["name"] == "fresh"
    assert "fresh" in [team["name"] for team in client.teams()]
    grant = client.give({"role": "viewer", "subject_team": "fresh", "team": TEAM})
    assert grant["id"] in [each["id"] for each in client.grants()]
    assert client.take(grant["id"]) == {"deleted": grant["id"]}
    key = client.create_key(team="fresh", name="dash", role="viewer", days=1)
    keys = client.keys()
    assert key["id"] in [each["id"] for each in keys]
    assert client.revoke_key(key["id"]) == {"revoked": key["id"]}


def test_members_come_change_and_go_and_all_of_it_is_in_the_audit_log(client: Client) -> None:
    made = client.add_member(team=TEAM, name="anna", role="viewer", days=1)
    assert made["token"].startswith("plk_")
    assert client.set_role(team=TEAM, name="anna", role="operator")["role"] == "operator"
    assert [each["name"] for each in client.members(team=TEAM)] == ["anna"]
    assert client.remove_member(team=TEAM, name="anna")["removed"] == "anna"
    assert [each["name"] for each in client.members()] == ["admin"]
    actions = [each["action"] for each in client.audit_log(subject="member/anna", who=None)]
    assert actions == ["add", "set-role", "remove"]


def test_a_file_becomes_data(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "flights.csv"
    path.write_bytes(CSV)
    assert client.add_data("flights", path, team=TEAM)["rows"] == 2
    assert client.data_version("flights", version=None, team=TEAM)["version"] == 1
    assert client.data_version("flights", version=1, team=TEAM)["file_name"] == "flights.csv"
    assert len(client.data()) == 1


def test_the_node_is_shown(service: Service, client: Client) -> None:
    folder = service.plane.home.units / "control"
    folder.mkdir()
    (folder / "log").write_bytes(b"x")
    assert client.unit_logs("control") == (b"x", 1)
    assert client.status()["units"] == []
    assert set(client.version()) == {"version"}
    assert client.usage() == []


def test_errors_keep_their_kind_code_words_and_hint(service: Service, client: Client) -> None:
    with pytest.raises(NotFound, match="no run `r_nobody`") as missing:
        client.run("r_nobody")
    assert missing.value.hint
    with connect(service, service.caller(Role.VIEWER)) as viewer, pytest.raises(Denied):
        viewer.create_key(team=TEAM, name="x", role="viewer", days=1)
    with connect(service, "plk_x") as stranger, pytest.raises(Unauthenticated) as refused:
        stranger.whoami()
    assert refused.value.code == "key_malformed"
    with pytest.raises(Conflict) as taken:
        client.add_team(TEAM)
    assert taken.value.code == "team_exists"
    with pytest.raises(PlinthError, match="limit: ") as malformed:
        client.runs(limit=0)
    assert malformed.value.code == "malformed"


@pytest.mark.parametrize("name", ["../teams", "a/b", "a?b=c", "a#b", "ä", "%2e%2e", " "])
def test_a_name_is_one_part_of_the_path(client: Client, name: str) -> None:
    for call in (client.run, client.endpoint, client.revoke_key):
        with pytest.raises(NotFound):
            call(name)


def answering(answer: httpx.Response | Exception) -> Client:
    def respond(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = Client("http://127.0.0.1:1", "plk_x")
    client.close()
    client._http = httpx.Client(
        transport=httpx.MockTransport(respond), base_url="http://127.0.0.1:1/api/v1"
    )
    return client


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (httpx.ConnectError("refused"), Temporary, "nothing answers at http://127.0.0.1:1"),
        (httpx.ReadTimeout("slow"), Temporary, "broke off: slow"),
        (httpx.RemoteProtocolError("half"), Temporary, "broke off: half"),
        (httpx.Response(503, text="upstream connect error"), Temporary, "answer 503: upstream"),
        (httpx.Response(500, json={"error": "text"}), PlinthError, "answer 500"),
        (httpx.Response(413, json={"error": {"message": "big"}}), TooLarge, "big"),
        (httpx.Response(404, text="<html>"), NotFound, "answer 404: <html>"),
        (httpx.Response(302, headers={"location": "/x"}), PlinthError, "answer 302"),
        (httpx.Response(200, text="<html>"), PlinthError, "not as Plinth does"),
    ],
    ids=str,
)
def test_every_answer_becomes_one_of_our_errors(
    answer: Any, kind: type[PlinthError], words: str
) -> None:
    with answering(answer) as client, pytest.raises(kind) as caught:
        client.version()
    assert words in caught.value.message


def test_nobody_at_the_address_is_said_with_the_next_step() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", "plk_x") as client, pytest.raises(Temporary) as caught:
        client.version()
    assert caught.value.code == "not_running"
    assert "plinth up" in (caught.value.hint or "")


@pytest.mark.parametrize("address", ["127.0.0.1:8470", "ftp://x", "localhost", ""])
def test_what_is_no_address_is_said(address: str) -> None:
    with Client(address, "plk_x") as client, pytest.raises(Invalid, match="is not an address"):
        client.version()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(500)

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_proxy_of_the_environment_is_not_asked(proxy: list[str]) -> None:
    with Client("http://127.0.0.1:1", "plk_x") as client, pytest.raises(Temporary):
        client.version()
    assert proxy == []
