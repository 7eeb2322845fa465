"""Send one request through the gateway, and say what came of it."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from .source import Request

_TIMEOUT_S = 600.0
_CONNECT_S = 5.0
_MOST_ANSWER_BYTES = 64 * 2**20
# What the gateway says when it is our own key that does not count any more.
_OUR_KEY = frozenset(
    ("unauthenticated", "key_expired", "key_forged", "key_revoked", "key_unknown_signer")
)
_LONGEST_WAIT_S = 3600.0
_OK, _ENDED = 200, 300
_UNAUTHORIZED, _TIMEOUT, _TOO_MANY, _FAILED = 401, 408, 429, 500


class Fate(Enum):
    """What follows from an attempt."""

    GOOD = auto()
    BAD = auto()
    LIMITED = auto()
    TROUBLED = auto()
    AWAY = auto()
    NO_KEY = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt. `status` 0: there was no answer, and `body` says why.

    `after_s`: when the server wants to be asked again, where it says so.
    """

    fate: Fate
    status: int = 0
    body: Any = None
    after_s: float | None = None


class Sender:
    """A connection to the gateway; used by one thread."""

    def __init__(self, address: str, key: str, caller: str) -> None:
        """Connect to nothing yet. `caller`: who this is, before each request's number."""
        where = urlsplit(address)
        self._host, self._port = where.hostname or "127.0.0.1", where.port
        self._key = key
        self._caller = caller
        self._connection: HTTPConnection | None = None

    def id_of(self, request: Request) -> str:
        """Return what tells a request from every other one, however often it is sent."""
        return f"{self._caller}-{request.line}"

    def send(self, request: Request) -> Answer:
        """Send a request once."""
        connection = self._connection
        if connection is None:
            connection = HTTPConnection(self._host, self._port, timeout=_CONNECT_S)
            try:
                connection.connect()
            except OSError as err:
                return Answer(Fate.AWAY, body=f"the gateway does not answer: {err}")
            connection.sock.settimeout(_TIMEOUT_S)
        self._connection = None
        try:
            answer = self._exchange(connection, request)
        except (OSError, HTTPException) as err:
            connection.close()
            return Answer(Fate.TROUBLED, body=f"no answer: {type(err).__name__} {err}".rstrip())
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _exchange(self, connection: HTTPConnection, request: Request) -> Answer:
        headers = {
            "authorization": f"Bearer {self._key}",
            "content-type": "application/json",
            "accept": "application/json",
            "idempotency-key": self.id_of(request),
            "user-agent": "plinth-batch",
        }
        # Who refuses a body before it is whole has answered, and reads no more of it.
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.request("POST", request.url, body=request.body, headers=headers)
        response = connection.getresponse()
        content = response.read(_MOST_ANSWER_BYTES + 1)
        if len(content) > _MOST_ANSWER_BYTES:
            connection.close()
            return Answer(Fate.BAD, body=f"the answer has more than {_MOST_ANSWER_BYTES} bytes")
        if response.will_close:
            connection.close()
        else:
            self._connection = connection
        body = _read(content)
        after_s = _seconds(response.headers.get("retry-after"))
        return Answer(_fate(response.status, body), response.status, body, after_s)


def _fate(status: int, body: Any) -> Fate:
    if _OK <= status < _ENDED:
        return Fate.GOOD
    if status == _TOO_MANY:
        return Fate.LIMITED
    if status == _TIMEOUT or status >= _FAILED:
        return Fate.TROUBLED
    error = body.get("error") if isinstance(body, dict) else None
    if status == _UNAUTHORIZED and isinstance(error, dict) and error.get("code") in _OUR_KEY:
        return Fate.NO_KEY
    return Fate.BAD


def _read(content: bytes) -> Any:
    """Return an answer's JSON; what is none, as a text."""
    try:
        return json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _seconds(said: str | None) -> float | None:
    """Return what `Retry-After` says in seconds; a date says nothing here."""
    try:
        seconds = float(said or "")
    except ValueError:
        return None
    return min(seconds, _LONGEST_WAIT_S) if math.isfinite(seconds) and seconds >= 0 else None
