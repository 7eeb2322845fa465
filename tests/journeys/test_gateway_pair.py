"""Two control planes behind one Envoy: who is asked while the first is away, dying or still.

A journey because Envoy alone decides whom it asks. Small servers stand in for the control planes;
`test_postgres_pair.py` has real ones.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.journeys.gateway_stand import Answer, Gateway, ask, eventually, running_gateway

RUNS = "/api/v1/runs"
# One probe in a second, and a second until it counts as not answered; the machine is busy.
NOTICED_S = 15.0
PATIENCE_S = 60.0


@pytest.fixture
def pair(free_port: Callable[[], int]) -> Iterator[Gateway]:
    with running_gateway(free_port()) as gateway:
        gateway.serve("control-2")
        gateway.apply(control_planes=("control", "control-2"))
        assert eventually(lambda: server_of(get(gateway)) == "control")
        yield gateway


def get(gateway: Gateway) -> Answer:
    return gateway.ask(RUNS, gateway.key())


def get_patiently(gateway: Gateway) -> Answer:
    """Wait for longer than Envoy does for one that is silent."""
    with closing(HTTPConnection("127.0.0.1", gateway.state.port, timeout=PATIENCE_S)) as connection:
        return ask(connection, RUNS, gateway.key())


def post(gateway: Gateway, path: str = RUNS) -> Answer:
    return gateway.ask(path, gateway.key(), method="POST", body=b"{}")


def server_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return str(answer.json["server"])


def replace_first(gateway: Gateway, behaviour: Callable[[socket.socket], None]) -> socket.socket:
    """Have `behaviour` meet every connection to the first control plane."""
    gateway.servers.pop("control").die()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(Path(gateway.state.sockets) / "control.sock"))
    listener.listen(64)

    def accept() -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=behaviour, args=(caller,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


def close(listener: socket.socket) -> None:
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def dies_of_work(caller: socket.socket) -> None:
    """Say that all is well, and end at every request to do something."""
    with caller:
        if caller.recv(65536).startswith(b"GET /health"):
            caller.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")


def test_the_first_is_asked_while_it_answers(pair: Gateway) -> None:
    assert {server_of(post(pair)) for _ in range(20)} == {"control"}


def test_no_request_is_lost_when_the_first_goes_away_and_comes_back(pair: Gateway) -> None:
    pair.servers.pop("control").die()
    for _ in range(20):
        assert server_of(post(pair)) == "control-2"
        assert server_of(get(pair)) == "control-2"
    pair.serve("control")
    assert eventually(lambda: server_of(post(pair)) == "control", NOTICED_S)


def test_what_the_first_may_have_done_is_not_asked_of_the_other(pair: Gateway) -> None:
    listener = replace_first(pair, dies_of_work)
    answer = post(pair, f"{RUNS}?dies")
    assert answer.status == 503
    assert answer.json["error"]["code"] == "unavailable"
    # What only reads may be asked again.
    assert server_of(get(pair)) == "control-2"
    assert eventually(lambda: sum(each.method == "POST" for each in pair.records()) == 1)
    (record,) = (each for each in pair.records() if each.method == "POST")
    assert record.attempts == 1
    close(listener)


def test_one_that_stands_still_is_passed_over_as_soon_as_that_is_seen(pair: Gateway) -> None:
    held: list[socket.socket] = []
    listener = replace_first(pair, held.append)
    answers: list[Answer] = []
    early = threading.Thread(target=lambda: answers.append(get_patiently(pair)))
    early.start()

    def passed_over() -> bool:
        probe = HTTPConnection("127.0.0.1", pair.state.port, timeout=0.5)
        try:
            probe.request("POST", RUNS, headers={"authorization": f"Bearer {pair.key()}"})
            return b"control-2" in probe.getresponse().read()
        except TimeoutError:
            return False
        finally:
            probe.close()

    assert eventually(passed_over, NOTICED_S)
    for _ in range(20):
        assert server_of(post(pair)) == "control-2"
    # What only reads and was asked of the one that stands still is asked of the other.
    early.join(PATIENCE_S)
    assert [server_of(each) for each in answers] == ["control-2"]
    close(listener)
    for caller in held:
        caller.close()
