"""Read a request's body: within its limit, decompressed, and where its binary part starts.

Standard library only. Called by app.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .tensors import Refused

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# The protocol's header, in the lower case of ASGI.
HEADER_LENGTH = b"inference-header-content-length"


class Disconnected(Exception):
    """The caller went away before the request was whole."""


async def read_body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """Return the whole body, decompressed.

    Raises Refused when it, or what it decompresses to, is larger than `limit` bytes, and
    Disconnected when the caller went away.
    """
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip", b"deflate", b""):
        raise Refused(
            f"Content-Encoding `{encoding.decode('latin-1')}` is not supported; "
            f"accepted: gzip, deflate, identity",
            415,
        )
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        more = message.get("more_body", False)
    body = b"".join(chunks)
    return body if encoding in (b"identity", b"") else _decompress(body, limit)


def _decompress(body: bytes, limit: int) -> bytes:
    # 32 + 15: the decompressor tells zlib's header from gzip's.
    stream = zlib.decompressobj(32 + zlib.MAX_WBITS)
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error as err:
        raise Refused(f"the body cannot be decompressed: {err}") from err
    if len(plain) > limit:
        raise _too_large(limit)
    if not stream.eof or stream.unused_data:
        raise Refused("the compressed body is not one whole stream")
    return plain


def _too_large(limit: int) -> Refused:
    # The rest of the body is not read, so the connection cannot serve another request.
    return Refused(
        f"the body is larger than {limit} bytes", 413, headers=(("connection", "close"),)
    )


def header_length(headers: dict[bytes, bytes]) -> int | None:
    """Return the length of the JSON part, None when the whole body is JSON. Raises Refused."""
    text = headers.get(HEADER_LENGTH)
    if text is None:
        return None
    if not text.isdigit() or len(text) > 12:
        raise Refused("Inference-Header-Content-Length must be a whole number of bytes")
    return int(text)
