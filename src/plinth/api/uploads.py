"""Take a request's body to a file as it comes, with its digest, within a limit."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from fastapi import Request
from starlette.requests import ClientDisconnect

from plinth.control.context import Context
from plinth.kit.errors import Invalid, TooLarge
from plinth.kit.files import make_private
from plinth.kit.units import format_bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """A received body: a file that is gone when the request ends, its SHA-256 and its size."""

    path: Path
    digest: str
    size_bytes: int


@contextmanager
def receive(request: Request, context: Context, *, most_bytes: int) -> Iterator[Upload]:
    """Write the body to a temporary file. Called in a worker thread, as sync routes are.

    Raises TooLarge as soon as more than `most_bytes` came, Invalid when the caller goes away
    before the end, OSError when the disk is full.
    """
    folder = make_private(context.home.storage / ".uploads")
    with NamedTemporaryFile(dir=folder) as stream:
        path = Path(stream.name)
        digest, size = asyncio.run_coroutine_threadsafe(
            _copy(request, path, most_bytes), request.app.state.loop
        ).result()
        yield Upload(path, digest, size)


async def _copy(request: Request, path: Path, most_bytes: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as stream:
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > most_bytes:
                    raise TooLarge(
                        f"the body has more than {format_bytes(most_bytes)}, the most that is taken"
                    )
                digest.update(chunk)
                stream.write(chunk)
        except ClientDisconnect as err:
            raise Invalid(f"the caller went away after {size} bytes") from err
    return digest.hexdigest(), size
