"""Ask a workspace what goes on in it, over its own socket.

What it answers is untrusted: its owner's code runs in it. It can only lie about itself.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Annotated

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from plinth.control.context import Context
from plinth.domain.web_page import page_authority, workspace_page
from plinth.kit.excerpt import excerpt
from plinth.kit.plain_http import no_authorities
from plinth.runtimes.tool import ACTIVITY_PATH, LEAVE_PATH

_TIMEOUT_S = 3.0
_LARGEST_ANSWER = 1_000_000
_CHUNK = 65_536
_MOST = 1000
_LONGEST_NAME = 80


def _moment(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11:
        return datetime.fromtimestamp(value, UTC)
    return value


Moment = Annotated[datetime, BeforeValidator(_moment)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Kernel(_Part):
    """One kernel; `name`: of its notebook where it has one."""

    name: Annotated[str, BeforeValidator(lambda text: excerpt(str(text), _LONGEST_NAME))]
    state: str = Field(max_length=40)
    active_at: Moment


class Terminal(_Part):
    """One terminal."""

    active_at: Moment


class Seen(_Part):
    """What a workspace says of itself.

    `cpu`: cores used since it was asked before. `visitors`: ids of the keys by which WebSockets
    were opened that are open now.
    """

    kernels: Annotated[tuple[Kernel, ...], Field(max_length=_MOST)] = ()
    terminals: Annotated[tuple[Terminal, ...], Field(max_length=_MOST)] = ()
    connections: Annotated[int, Field(ge=0, le=100_000)] = 0
    active_at: Moment
    cpu: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)] = 0.0
    memory_bytes: Annotated[int, Field(ge=0, le=2**60)] = 0
    written_bytes: Annotated[int, Field(ge=0, le=2**60)] = 0
    first_cell_at: Moment | None = None
    visitors: Annotated[
        tuple[Annotated[str, Field(max_length=_LONGEST_NAME)], ...], Field(max_length=_MOST)
    ] = ()

    @property
    def busy(self) -> tuple[str, ...]:
        """The names of the kernels that run a cell."""
        return tuple(each.name for each in self.kernels if each.state == "busy")


class Reach:
    """Tells whether a workspace's page is there, for whom it is for, behind the gateway."""

    def __init__(self, context: Context, key: Callable[[], str]) -> None:
        self._context = context
        self._key = key
        self._client = httpx.Client(
            base_url=context.address,
            timeout=_TIMEOUT_S,
            trust_env=False,
            verify=no_authorities(),
        )

    def is_reached(self, workspace: str) -> bool:
        """Ask through the gateway, as the platform. Blocks for 3 s at most."""
        host = page_authority(workspace_page(workspace), self._context.port)
        headers = {"authorization": f"Bearer {self._key()}", "host": host}
        try:
            with self._client.stream("GET", ACTIVITY_PATH, headers=headers) as answer:
                return answer.status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False


class Silent(Exception):
    """The workspace did not say; the text says why."""


def ask(path: Path) -> Seen:
    """Return what goes on in the workspace behind the socket at `path`. Blocks for 3 s or so.

    Raises Silent.
    """
    try:
        return Seen.model_validate_json(_exchange(path, "GET", ACTIVITY_PATH))
    except ValidationError as err:
        raise Silent("what it says of itself cannot be read") from err


def send_away(path: Path, keys: Sequence[str]) -> None:
    """Have the workspace close the WebSockets opened by these keys. Blocks and raises as `ask`."""
    _exchange(path, "POST", LEAVE_PATH, json.dumps({"keys": list(keys)}).encode())


def _exchange(path: Path, method: str, address: str, body: bytes | None = None) -> bytes:
    connection = _Connection(path)
    try:
        connection.request(method, address, body)
        answer = connection.getresponse()
        content = _read(answer)
        if answer.status != HTTPStatus.OK:
            raise Silent(f"it answers with {answer.status}")
        return content
    except (OSError, HTTPException) as err:
        raise Silent(f"it does not answer: {err}") from err
    finally:
        connection.close()


def _read(answer: HTTPResponse) -> bytes:
    """Return the body; what is too long, or takes too long piece by piece, is none."""
    ends_at, content = time.monotonic() + _TIMEOUT_S, b""
    while piece := answer.read1(_CHUNK):
        content += piece
        if len(content) > _LARGEST_ANSWER or time.monotonic() > ends_at:
            raise Silent("it says more than is read")
    return content


class _Connection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = str(path)

    def connect(self) -> None:
        """Connect, and leave no socket open where that fails."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(_TIMEOUT_S)
        try:
            made.connect(self._path)
        except OSError:
            made.close()
            raise
        self.sock = made
