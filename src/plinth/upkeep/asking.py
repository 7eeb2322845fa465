"""One HTTP request to a part of the node, at its Unix socket or port."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from plinth.kit.errors import Temporary

_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `headers` by their names in lower case."""

    code: int
    headers: Mapping[str, str]
    body: bytes


def ask(where: Path | int, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return the answer to `GET path` of a Unix socket, or of a port of this machine.

    Raises Temporary when nobody answers.
    """
    connection = _Connection(where)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    except (OSError, http.client.HTTPException) as err:
        words = getattr(err, "strerror", None) or str(err) or type(err).__name__
        raise Temporary(f"nobody answers at `{where}`: {words}") from err
    finally:
        connection.close()


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket or loopback; httpx leaves a socket open when nobody listens."""

    def __init__(self, where: Path | int) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._where = where

    def connect(self) -> None:
        """Open the connection. Raises OSError when nobody listens."""
        is_port = isinstance(self._where, int)
        self.sock = socket.socket(socket.AF_INET if is_port else socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(("127.0.0.1", self._where) if is_port else str(self._where))
