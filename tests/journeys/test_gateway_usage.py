"""What counts as usage and what is asked again, by the lines that a real Envoy writes.

A journey because Envoy alone decides what it retries and how it names what went wrong.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException

import pytest

from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway.access_log import AccessRecord
from tests.journeys.gateway_stand import Answer, Gateway, ask, eventually, running_gateway

Behaviour = Callable[[socket.socket], None]
_HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"


def _answers(caller: socket.socket) -> None:
    _read(caller)
    caller.sendall(_HEAD + b"content-length: 2\r\n\r\nok")


def _dies(caller: socket.socket) -> None:
    _read(caller)


def _dies_in_the_middle(caller: socket.socket) -> None:
    _read(caller)
    caller.sendall(_HEAD + b"content-length: 100\r\n\r\nhalf")
    # Envoy must have read the half before it sees the end.
    time.sleep(0.1)


def _loads(caller: socket.socket) -> None:
    _read(caller)
    caller.sendall(
        b"HTTP/1.1 503 No\r\nx-plinth-not-loaded: 1\r\n"
        b"connection: close\r\ncontent-length: 0\r\n\r\n"
    )


def _hangs(caller: socket.socket) -> None:
    _read(caller)
    caller.recv(1)


def _hangs_in_the_middle(caller: socket.socket) -> None:
    _read(caller)
    caller.sendall(_HEAD + b"content-length: 100\r\n\r\nhalf")
    caller.recv(1)


def _read(caller: socket.socket) -> None:
    seen = b""
    while not seen.endswith(b"{}"):
        piece = caller.recv(65536)
        if not piece:
            return
        seen += piece


class Upstreams:
    """Servers of one behaviour each; `met` counts the requests that each has had."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.met: dict[str, int] = {}
        self._listeners: list[socket.socket] = []

    def serve(self, name: str, behaviour: Behaviour) -> Upstream:
        listener = socket.socket(socket.AF_UNIX)
        path = self.gateway.root / "run" / f"{name}.sock"
        listener.bind(str(path))
        listener.listen(64)
        self._listeners.append(listener)
        self.met[name] = 0

        def accept() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                self.met[name] += 1
                threading.Thread(target=meet, args=(caller,), daemon=True).start()

        def meet(caller: socket.socket) -> None:
            with caller:
                behaviour(caller)

        threading.Thread(target=accept, daemon=True).start()
        return Upstream(socket=str(path))

    def dead(self, name: str) -> Upstream:
        path = self.gateway.root / "run" / f"{name}.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        return Upstream(socket=str(path))

    def publish(self, **endpoints: tuple[Upstream, ...]) -> None:
        self.gateway.apply(
            endpoints=tuple(
                EndpointRoute(
                    name=name,
                    team="ops",
                    deployments=(Deployment(id=f"r_{name}", upstreams=upstreams),),
                    callers=("p_ann",),
                )
                for name, upstreams in endpoints.items()
            )
        )

    def close(self) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@pytest.fixture(scope="module")
def gateway(free_port: Callable[[], int]) -> Iterator[Gateway]:
    with running_gateway(free_port()) as running:
        yield running


@pytest.fixture
def upstreams(gateway: Gateway) -> Iterator[Upstreams]:
    made = Upstreams(gateway)
    yield made
    made.close()


def infer(gateway: Gateway, name: str) -> Answer:
    path = f"/v2/models/{name}/infer"
    return gateway.ask(path, gateway.key(), method="POST", body=b"{}")


def written(gateway: Gateway, name: str) -> AccessRecord:
    """Return the one record of an endpoint, once Envoy has written it."""

    def found() -> list[AccessRecord]:
        return [record for record in gateway.records() if record.endpoint == name]

    assert eventually(lambda: bool(found()))
    (record,) = found()
    return record


def test_the_lines_that_count_are_those_a_server_had(upstreams: Upstreams) -> None:
    gateway = upstreams.gateway
    upstreams.publish(
        answering=(upstreams.serve("answering", _answers),),
        gone=(Upstream(socket=str(gateway.root / "run/gone.sock")),),
        refusing=(upstreams.dead("refusing"),),
        dying=(upstreams.serve("dying", _dies),),
        breaking=(upstreams.serve("breaking", _dies_in_the_middle),),
        loading=(upstreams.serve("loading", _loads),),
    )
    ending = {"answering": 200, "gone": 503, "refusing": 503, "dying": 503, "loading": 503}
    for name, status in ending.items():
        assert infer(gateway, name).status == status
    with pytest.raises(HTTPException):
        infer(gateway, "breaking")
    served = {name: written(gateway, name).was_served for name in (*ending, "breaking")}
    assert served == {
        "answering": True,
        # Nobody was there, however often it was tried.
        "gone": False,
        "refusing": False,
        # It died over the request: the caller has nothing.
        "dying": False,
        "loading": False,
        # It died over the answer: the caller has its beginning.
        "breaking": True,
    }
    assert written(gateway, "gone").attempts > 1
    # Who served is known by its socket.
    assert written(gateway, "answering").upstream == str(gateway.root / "run/answering.sock")


def test_a_caller_that_hangs_up_is_counted_when_a_server_had_the_request(
    upstreams: Upstreams,
) -> None:
    gateway = upstreams.gateway
    upstreams.publish(
        slow=(upstreams.serve("slow", _hangs),),
        stalled=(upstreams.serve("stalled", _hangs_in_the_middle),),
        missing=(Upstream(socket=str(gateway.root / "run/missing.sock")),),
    )
    for name, patience_s in (("slow", 0.3), ("stalled", 0.3), ("missing", 0.5)):
        connection = gateway.connect()
        connection.timeout = patience_s
        with pytest.raises(TimeoutError):
            ask(connection, f"/v2/models/{name}/infer", gateway.key(), method="POST", body=b"{}")
        connection.close()
    served = {name: written(gateway, name).was_served for name in ("slow", "stalled", "missing")}
    assert served == {"slow": True, "stalled": True, "missing": False}


def test_a_replica_that_dies_over_a_request_costs_no_caller_an_answer(
    upstreams: Upstreams,
) -> None:
    gateway = upstreams.gateway
    upstreams.publish(
        pair=(upstreams.serve("dies", _dies), upstreams.serve("lives", _answers)),
    )
    connection = gateway.connect()
    answers = [
        ask(connection, "/v2/models/pair/infer", gateway.key(), method="POST", body=b"{}").status
        for _ in range(40)
    ]
    connection.close()
    assert answers == [200] * 40
    assert upstreams.met["dies"] > 0

    def records() -> list[AccessRecord]:
        return [record for record in gateway.records() if record.endpoint == "pair"]

    assert eventually(lambda: len(records()) == 40)
    assert all(record.was_served for record in records())
    assert max(record.attempts for record in records()) > 1


def test_what_changes_something_is_not_asked_again(upstreams: Upstreams) -> None:
    """MLflow and the control plane may have done it before they died."""
    gateway = upstreams.gateway
    for name, path in (("control", "/api/v1/runs"), ("mlflow", "/api/2.0/mlflow/runs/create")):
        gateway.servers.pop(name).end()
        upstreams.serve(name, _dies)
        key = gateway.key("p_job", is_run=True)
        assert gateway.ask(path, key, method="POST", body=b"{}").status == 503
        assert upstreams.met[name] == 1


def test_a_large_request_is_asked_once(upstreams: Upstreams) -> None:
    """Envoy keeps 1 MiB of a request to send it again; the documentation says so."""
    gateway = upstreams.gateway
    upstreams.publish(large=(upstreams.serve("large", _dies),))
    for size, again in ((900_000, True), (1_200_000, False)):
        before = upstreams.met["large"]
        body = b" " * size + b"{}"
        path = "/v2/models/large/infer"
        assert gateway.ask(path, gateway.key(), method="POST", body=body).status == 503
        assert (upstreams.met["large"] - before > 1) is again
