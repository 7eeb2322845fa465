"""Take a request's body to a file as it comes, with its digest, within limits.

The body is read on the event loop, so that a slow caller holds no worker thread: those answer
everybody else.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from fastapi import Request
from starlette.requests import ClientDisconnect

from plinth.kit.errors import Busy, Invalid, TooLarge, TooSlow
from plinth.kit.files import make_private
from plinth.kit.home import Home
from plinth.kit.units import format_bytes

MOST_AT_ONCE = 8
LONGEST_PAUSE_S = 30.0
_RETRY_AFTER_S = 5.0
# A chunk of the network has 64 KiB; a thread for each would cost more than the writing.
_WRITE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A received body: a file that is gone when the request ends, its SHA-256 and its size."""

    path: Path
    digest: str
    size_bytes: int


class Uploads:
    """The bodies that are being received, at most `MOST_AT_ONCE`. Used on the event loop only."""

    def __init__(self, home: Home, name: str) -> None:
        """Receive into a folder of the control plane `name`: others of the home have their own."""
        self._folder = home.storage / ".uploads" / name
        self._active = 0

    def sweep(self) -> None:
        """Remove what this control plane left half received when killed. Only at the start.

        Also what lies beside the folders: an earlier Plinth, which had one for all, left it.
        """
        for path in (*self._folder.glob("*"), *self._folder.parent.glob("*")):
            if path.is_file():
                path.unlink(missing_ok=True)

    @asynccontextmanager
    async def receive(self, request: Request, *, most_bytes: int) -> AsyncIterator[Upload]:
        """Write the body to a temporary file.

        Raises Busy when too many are received already, TooLarge as soon as more than `most_bytes`
        came, TooSlow when nothing came for `LONGEST_PAUSE_S`, Invalid when the caller goes away
        before the end, OSError when the disk is full.
        """
        if self._active >= MOST_AT_ONCE:
            raise Busy(
                f"{self._active} uploads are being received, the most at once",
                hint="send it again when one of them has ended",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._active += 1
        try:
            with NamedTemporaryFile(dir=make_private(self._folder)) as stream:
                digest, size = await _copy(request, stream.file, most_bytes)
                yield Upload(Path(stream.name), digest, size)
        finally:
            self._active -= 1


async def _copy(request: Request, stream: IO[bytes], most_bytes: int) -> tuple[str, int]:
    digest, size, waiting = hashlib.sha256(), 0, bytearray()

    def write() -> None:
        digest.update(waiting)
        stream.write(waiting)
        waiting.clear()

    async for chunk in _chunks(request):
        size += len(chunk)
        if size > most_bytes:
            raise TooLarge(
                f"the body has more than {format_bytes(most_bytes)}, the most that is taken"
            )
        waiting += chunk
        if len(waiting) >= _WRITE_BYTES:
            await asyncio.to_thread(write)
    write()
    stream.flush()
    return digest.hexdigest(), size


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises TooSlow, or Invalid when the caller goes away."""
    body, size = aiter(request.stream()), 0
    while True:
        try:
            async with asyncio.timeout(LONGEST_PAUSE_S):
                chunk = await anext(body, None)
        except TimeoutError as err:
            raise TooSlow(
                f"nothing came for {LONGEST_PAUSE_S:.0f} s after {size} bytes",
                hint="send the whole body again, without a pause",
            ) from err
        except ClientDisconnect as err:
            raise Invalid(f"the caller went away after {size} bytes") from err
        if chunk is None:
            return
        size += len(chunk)
        yield chunk
