"""The sender of a batch of requests hears what a server says, also before it has said all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from plinth.runtimes.requestrunner.sender import Fate, Sender
from plinth.runtimes.requestrunner.work import Request

REFUSAL = b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 15\r\nconnection: close\r\n\r\n"


@pytest.fixture
def refusing() -> Iterator[str]:
    """Return the address of a server that refuses a body before it has read it, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(REFUSAL + b'{"error": "big"}'[:15])

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_a_refusal_before_the_body_is_whole_is_the_answer(refusing: str) -> None:
    sender = Sender(refusing, "plk_x", "b")
    answer = sender.send(Request(1, "c", "/v1/chat/completions", b"x" * 20_000_000))
    assert (answer.fate, answer.status) == (Fate.BAD, 413), answer
    sender.close()
