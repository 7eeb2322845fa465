"""Probes of what `plinth up` started; tests/journeys asks real parts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import pytest

from plinth.access.keyring import load
from plinth.access.tokens import Claims, mint
from plinth.kit.clock import SystemClock
from plinth.kit.files import locked
from plinth.units.processes import boot_id, identify
from plinth.upkeep.finding import Scene
from plinth.upkeep.probes.parts import (
    probe_agent,
    probe_control,
    probe_gateway,
    probe_signing_keys,
    probe_sockets,
    probe_token,
    probe_tracking,
    probe_units,
)
from tests.upkeep.scene import agent, full_scene, new_scene, scene_of, unit


class Answering(BaseHTTPRequestHandler):
    """Answers every request as its server says; remembers who asked."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("authorization")))
        content = json.dumps(self.server.body).encode()
        self.send_response(self.server.code)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "somebody"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class UnixServer(UnixStreamServer):
    """An HTTP server on a Unix socket."""


@contextmanager
def answering(
    where: Path | int, code: int = 200, body: Any = None, **headers: str
) -> Iterator[list[Any]]:
    """Serve at a Unix socket or a port; give the requests that came."""
    kind, address = (
        (UnixServer, str(where)) if isinstance(where, Path) else (HTTPServer, ("127.0.0.1", where))
    )
    with kind(address, Answering) as server:
        server.code, server.body, server.asked = code, body, []
        server.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.asked
        finally:
            server.shutdown()
            thread.join()


def running(**fields: Any) -> dict[str, Any]:
    units = tuple(unit(name) for name in ("envoy", "control", "mlflow"))
    return {"agent": agent(boot_id=boot_id()), "units": units, **fields}


def test_there_is_nothing_to_ask_before_the_first_start(free_port: Callable[[], int]) -> None:
    scene = new_scene()
    for probe in (probe_agent, probe_control, probe_tracking, probe_signing_keys, probe_token):
        assert probe(scene).status == "skipped"
    assert [probe(scene).status for probe in (probe_sockets, probe_units)] == ["skipped"] * 2


def test_an_agent_that_answers_is_well() -> None:
    with full_scene(**running()) as scene:
        finding = probe_agent(scene)
    assert finding.status == "ok"
    assert "3 units run" in finding.fact


def test_an_agent_of_another_boot_fails() -> None:
    with full_scene(**running(agent=agent(boot_id="before"))) as scene:
        assert probe_agent(scene).status == "failed"


def test_an_agent_that_is_away_fails_and_says_what_lives() -> None:
    with full_scene() as scene:
        assert "nothing of this home runs" in probe_agent(scene).fact
        (scene.home.units / "envoy").mkdir()
        with locked(scene.home.units / "envoy" / "lock"):
            finding = probe_agent(scene)
        assert probe_control(scene).status == "skipped"
        assert probe_tracking(scene).status == "skipped"
    assert finding.status == "failed"
    assert "1 units live: envoy" in finding.fact
    assert "plinth up" in str(finding.todo)


def test_a_control_plane_is_asked_with_the_administrators_key() -> None:
    with full_scene(**running()) as scene:
        body = {"version": "0.1.0", "errors": {}}
        with answering(scene.home.socket("control"), body=body) as asked:
            assert probe_control(scene).status == "ok"
        token = scene.home.admin_token.read_text()
    assert asked == [("/api/v1/status", f"Bearer {token}")]


def test_what_a_control_plane_reports_is_a_warning() -> None:
    with full_scene(**running()) as scene:
        body = {"version": "0.1.0", "errors": {"metering": "the disk is full"}}
        with answering(scene.home.socket("control"), body=body):
            finding = probe_control(scene)
    assert (finding.status, "metering: the disk is full" in finding.fact) == ("warning", True)


@pytest.mark.parametrize("code", [401, 500])
def test_a_control_plane_that_refuses_fails(code: int) -> None:
    with full_scene(**running()) as scene, answering(scene.home.socket("control"), code):
        finding = probe_control(scene)
    assert finding.status == "failed"
    assert "plinth logs control" in str(finding.todo)


def test_parts_that_do_not_answer_fail() -> None:
    with full_scene(**running()) as scene:
        for probe in (probe_control, probe_tracking):
            finding = probe(scene)
            assert finding.status == "failed"
            assert "plinth logs" in str(finding.todo)


def test_mlflow_is_asked_for_its_health() -> None:
    with full_scene(**running()) as scene:
        with answering(scene.home.socket("mlflow")) as asked:
            assert probe_tracking(scene).status == "ok"
        assert [path for path, _ in asked] == ["/health"]
        with answering(scene.home.socket("other"), 503):
            (scene.home.sockets / "mlflow.sock").unlink(missing_ok=True)
            (scene.home.sockets / "other.sock").rename(scene.home.socket("mlflow"))
            assert "it answers 503" in probe_tracking(scene).fact
    with full_scene(**running(units=())) as scene:
        assert "does not run" in probe_tracking(scene).fact


def test_the_gateway_is_asked_at_its_port(free_port: Callable[[], int]) -> None:
    port = free_port()
    with full_scene(**running(node={"port": port})) as scene:
        assert probe_gateway(scene).status == "failed"
        with answering(port, x_plinth_id="i"):
            assert probe_gateway(scene).status == "ok"
        with answering(port):
            # It answers, and not as an Envoy of ours would.
            assert probe_gateway(scene).status == "failed"


def test_a_port_is_free_ours_another_plinths_or_somebodys(free_port: Callable[[], int]) -> None:
    port = free_port()
    with full_scene(node={"port": port}) as scene:
        assert "Envoy does not run" in probe_gateway(scene).fact
        with answering(port, x_plinth_id="i"):
            assert "another Plinth answers" in probe_gateway(scene).fact
        with socket.create_server(("127.0.0.1", port), backlog=1):
            pass
        with answering(port):
            finding = probe_gateway(scene)
    assert finding.status == "failed"
    assert "cannot be had" in finding.fact
    assert "--port N" in str(finding.todo)


def test_signing_keys_that_others_can_read_fail() -> None:
    with full_scene() as scene:
        assert probe_signing_keys(scene).status == "ok"
        scene.home.secrets.chmod(0o755)
        assert "chmod -R" in str(probe_signing_keys(scene).todo)
        scene.home.secrets.chmod(0o700)
        key = next(scene.home.secrets.glob("signing/*.json"))
        key.chmod(0o644)
        finding = probe_signing_keys(scene)
        assert "0644" in finding.fact
        key.unlink()
        assert probe_signing_keys(scene).status == "failed"


def put_token(scene: Scene, days: float) -> None:
    expires_at = SystemClock().now() + timedelta(days=days)
    claims = Claims("admin", "default", "k_12345678", expires_at)
    scene.home.admin_token.write_text(mint(load(scene.home.secrets), claims))


@pytest.mark.parametrize(("days", "status"), [(300, "ok"), (3, "warning"), (-3, "failed")])
def test_the_administrators_key_is_verified(days: float, status: str) -> None:
    with full_scene() as scene:
        put_token(scene, days)
        assert probe_token(scene).status == status


def test_a_token_file_that_is_wrong_fails() -> None:
    with full_scene() as scene:
        put_token(scene, 300)
        scene.home.admin_token.chmod(0o644)
        assert "chmod 600" in str(probe_token(scene).todo)
        scene.home.admin_token.chmod(0o600)
        for content in (b"", b"plk_x.y.z", b"\xff"):
            scene.home.admin_token.write_bytes(content)
            assert probe_token(scene).status == "failed"
        scene.home.admin_token.unlink()
        assert "does not exist" in probe_token(scene).fact


def test_sockets_at_which_nobody_listens_are_found() -> None:
    with full_scene() as scene:
        assert probe_sockets(scene).status == "ok"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(scene.home.socket("here")))
            listening.listen()
            assert probe_sockets(scene).status == "ok"
            with socket.socket(socket.AF_UNIX) as gone:
                gone.bind(str(scene.home.socket("gone")))
            assert probe_sockets(scene).status == "ok"
            finding = probe_sockets(scene_of(scene.home, agent=agent()))
    assert finding.status == "warning"
    assert finding.fact == "nobody listens at 1: gone.sock"


def make_unit(scene: Scene, name: str, pid: int) -> Path:
    folder = scene.home.units / name
    folder.mkdir()
    (folder / "spec.json").write_text("{}")
    identity = {"boot_id": boot_id(), "child": identify(pid).to_json()}
    (folder / "identity.json").write_text(json.dumps(identity))
    return folder


def test_processes_that_outlived_their_supervisor_are_found() -> None:
    with full_scene() as scene:
        (scene.home.units / "r_1.0.1" / "spec.json").write_text("{}")
        command = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
            make_unit(scene, "r_2.0.1", process.pid)
            finding = probe_units(scene)
            with locked(scene.home.units / "r_2.0.1" / "lock"):
                assert probe_units(scene).status == "ok"
            # The agent that lives looks after it.
            assert probe_units(scene_of(scene.home, agent=agent())).status == "ok"
            assert process.stdin is not None
            process.stdin.close()
        assert probe_units(scene).status == "ok"
    assert finding.status == "failed"
    assert "r_2.0.1" in finding.fact


def test_a_folder_that_cannot_be_read_is_a_warning() -> None:
    with full_scene() as scene:
        finding = probe_units(scene)
        assert (finding.status, "r_1.0.1" in finding.fact) == ("warning", True)
        (scene.home.units / "r_1.0.1" / "spec.json").write_text("{")
        assert probe_units(scene).status == "warning"
        folder = make_unit(scene, "r_3.0.1", os.getpid())
        (folder / "exit.json").write_text("{}")
        assert "1 folders" in probe_units(scene).fact
