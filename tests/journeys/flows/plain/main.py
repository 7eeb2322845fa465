"""An ASGI app without any library: it starts up, answers, streams, and says what it was sent."""

import asyncio
import json
import os
import sys

STARTED = {"up": False}


async def app(scope, receive, send):
    """Answer; `/stream` in pieces, `/headers` with what came, `/raise` not at all."""
    if scope["type"] == "lifespan":
        await receive()
        STARTED["up"] = True
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("was shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    # As ASGI has it, the path begins with where the app is mounted.
    path = scope["path"].removeprefix(scope["root_path"])
    if path == "/raise":
        raise ValueError("this app raises")
    if path == "/exit":
        sys.exit(3)
    if path == "/stream":
        await stream(send)
        return
    body = {
        "path": path,
        "mounted": scope["root_path"],
        "host": dict(scope["headers"])[b"host"].decode(),
        "query": scope["query_string"].decode(),
        "up": STARTED["up"],
        "headers": sorted(name.decode() for name, _ in scope["headers"]),
        "has_key": os.environ["OPENAI_API_KEY"] == os.environ["PLINTH_KEY"],
        "folder": sorted(os.listdir()),
    }
    content = json.dumps(body).encode()
    head = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": content})


async def stream(send):
    """Send three events, each when the one before has long arrived."""
    head = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    for number in range(3):
        event = f"data: {number}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(0.3)
    await send({"type": "http.response.body", "body": b""})
