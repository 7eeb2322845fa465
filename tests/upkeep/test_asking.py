"""One request to a part of the node."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from plinth.kit.errors import Temporary
from plinth.upkeep.asking import ask
from tests.upkeep.stand import new_place


def test_nobody_at_a_socket_or_port_is_an_error_that_passes(free_port: Callable[[], int]) -> None:
    with pytest.raises(Temporary, match="No such file"):
        ask(new_place(), "/")
    with pytest.raises(Temporary, match="refused"):
        ask(free_port(), "/")


def test_somebody_who_speaks_no_http_is_one_too() -> None:
    place = new_place()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"hello\r\n\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(Temporary, match="nobody answers"):
            ask(place, "/")
        thread.join()


def test_the_answer_has_its_code_headers_and_body() -> None:
    place = new_place()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        asked: list[bytes] = []

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(
                    b"HTTP/1.1 404 x\r\nX-Plinth-Id: a\r\ncontent-length: 2\r\n\r\nno"
                )

        thread = threading.Thread(target=speak)
        thread.start()
        answer = ask(Path(place), "/x", {"authorization": "Bearer k"})
        thread.join()
    assert (answer.code, answer.headers["x-plinth-id"], answer.body) == (404, "a", b"no")
    assert asked[0].startswith(b"GET /x HTTP/1.1\r\n")
    assert b"authorization: Bearer k" in asked[0]
