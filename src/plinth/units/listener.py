"""Serve JSON lines on a Unix socket from a select loop; the agent's ear.

One request is one line, one answer is one line. Whoever can open the socket (0600, in a 0700
folder) is the owner of this node.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plinth.kit.errors import Invalid, PlinthError, Temporary, TooLarge

log = logging.getLogger(__name__)

Answer = Callable[[dict[str, Any]], dict[str, Any]]

_CHUNK = 65536
_LONGEST_REQUEST = 4 * 2**20
_BACKLOG = 128


@dataclass
class _Connection:
    stream: socket.socket
    incoming: bytes = b""
    outgoing: bytes = b""


class Listener:
    """Accept connections and answer each line by `answer`, never waiting for anybody."""

    def __init__(self, path: Path, selector: selectors.BaseSelector, answer: Answer) -> None:
        """Bind the socket; a stale one of a killed agent is replaced."""
        self._selector = selector
        self._answer = answer
        self._path = path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(before)
        self._socket.listen(_BACKLOG)
        self._socket.setblocking(False)
        selector.register(self._socket, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._selector.unregister(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _accept(self, _mask: int) -> None:
        with contextlib.suppress(OSError):
            stream, _ = self._socket.accept()
            stream.setblocking(False)
            connection = _Connection(stream)

            def ready(mask: int) -> None:
                self._serve(connection, mask)

            self._selector.register(stream, selectors.EVENT_READ, ready)

    def _serve(self, connection: _Connection, mask: int) -> None:
        try:
            if mask & selectors.EVENT_READ and not self._receive(connection):
                self._drop(connection)
                return
            if connection.outgoing:
                sent = connection.stream.send(connection.outgoing)
                connection.outgoing = connection.outgoing[sent:]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.outgoing else 0)
        key = self._selector.get_key(connection.stream)
        if key.events != wanted:
            self._selector.modify(connection.stream, wanted, key.data)

    def _receive(self, connection: _Connection) -> bool:
        chunk = connection.stream.recv(_CHUNK)
        connection.incoming += chunk
        *lines, connection.incoming = connection.incoming.split(b"\n")
        for line in lines:
            connection.outgoing += json.dumps(self._answer_line(line)).encode() + b"\n"
        if len(connection.incoming) > _LONGEST_REQUEST:
            error = TooLarge(f"a request has more than {_LONGEST_REQUEST} bytes")
            connection.outgoing += json.dumps(error.to_json()).encode() + b"\n"
            connection.incoming = b""
        return bool(chunk)

    def _answer_line(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise Invalid("a request is a JSON object")
            return self._answer(request)
        except PlinthError as err:
            return err.to_json()
        except (ValueError, KeyError, TypeError) as err:
            return Invalid(f"the request cannot be read: {err!r}").to_json()
        except OSError as err:
            log.warning("a request failed: %s", err)
            return Temporary(f"the node could not do it: {err}").to_json()

    def _drop(self, connection: _Connection) -> None:
        self._selector.unregister(connection.stream)
        connection.stream.close()
