"""A line of the log is plain text with a control character between fields: nobody can write one."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from plinth.gateway.log_line import NAMES, SEPARATOR, log_format
from tests.conformance.stand import (
    Envoy,
    Seen,
    Upstream,
    answering,
    cluster,
    eventually,
    listener,
    routes,
    running_envoy,
    to,
    typed,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# What would end a field or a line, and what else no text of HTTP may hold.
CONTROLS = [b"\x1f", b"\n", b"\x00", b"\x0b", b"\x1e", b"\x7f"]
FIELDS = {
    "id": "%REQ(X-REQUEST-ID)%",
    "line": "%REQ(IDEMPOTENCY-KEY):64%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH):256%",
    "code": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "unserved": "%RESP(X-PLINTH-UNSERVED):64%",
    "rid": "%DYNAMIC_METADATA(nobody:wrote)%",
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.end()


@pytest.fixture(scope="module")
def envoy(upstream: Upstream) -> Iterator[Envoy]:
    main = listener([], routes(to("up")))
    manager = main["filter_chains"][0]["filters"][0]["typed_config"]
    file = "extensions.access_loggers.file.v3.FileAccessLog"
    manager["access_log"] = [typed("log", file, path="access.log", log_format=log_format(FIELDS))]
    with running_envoy([main], [cluster("up", upstream.port)]) as found:
        yield found


def lines(envoy: Envoy, needle: str) -> list[dict[str, str]]:
    """Return the lines of the log with this in them; every line has every field, and no more."""
    path = envoy.root / "access.log"
    assert eventually(lambda: path.exists() and needle.encode() in path.read_bytes()), needle
    found = []
    for line in path.read_bytes().decode(errors="replace").splitlines():
        form, *texts = line.split(SEPARATOR)
        assert form == "1"
        assert len(texts) == len(NAMES), line
        found.append(dict(zip(NAMES, texts, strict=True)))
    return [each for each in found if needle in str(each)]


def evil(sign: bytes) -> bytes:
    """Return what would be more than one field, or more than one line."""
    return b"/a" + sign + b"forged" + sign + b"b"


def close(envoy: Envoy, name: str) -> None:
    """Ask once more in good form: what came before is written down then, and nothing is forged."""
    envoy.ask(f"/after-{name}")
    lines(envoy, f"/after-{name}")
    assert b"forged" not in (envoy.root / "access.log").read_bytes()


def test_what_is_absent_is_empty_and_texts_stand_as_they_are(envoy: Envoy) -> None:
    envoy.ask("/plain?query=1", headers={"idempotency-key": 'a "b"\tc'})
    (line,) = lines(envoy, "/plain")
    assert (line["path"], line["method"], line["code"]) == ("/plain", "GET", "200")
    assert (line["line"], line["details"]) == ('a "b"\tc', "via_upstream")
    assert (line["rid"], line["unserved"], line["team"]) == ("", "", "")


@pytest.mark.parametrize("where", ["header", "path", "method"])
def test_no_caller_brings_a_control_character(envoy: Envoy, where: str) -> None:
    head = b"%s %s HTTP/1.1\r\nhost: a\r\nidempotency-key: %s\r\nconnection: close\r\n\r\n"
    for sign in CONTROLS:
        parts = {"method": b"GET", "path": b"/evil", "header": b"x"} | {where: evil(sign)}
        answer = envoy.send(
            head % (parts["method"], parts["path"], parts["header"]), patience_s=0.2
        )
        assert answer[9:10] in (b"4", b""), sign
    close(envoy, where)


@pytest.mark.parametrize("where", ["idempotency-key", ":path", ":method"])
def test_no_caller_of_http_2_does(envoy: Envoy, where: str) -> None:
    fields = {":method": b"GET", ":scheme": b"http", ":authority": b"a", ":path": b"/two"}
    for sign in CONTROLS:
        wrong = {**fields, "idempotency-key": b"x", where: evil(sign)}
        with envoy.connect() as connection:
            connection.settimeout(0.2)
            connection.sendall(PREFACE + _frame(4, 0, 0, b"") + _frame(1, 5, 1, _hpack(wrong)))
            _drain(connection)
    close(envoy, f"two-{where.strip(':')}")


def test_http_2_is_spoken(envoy: Envoy) -> None:
    # Or else the refusals above would prove nothing.
    fields = {":method": b"GET", ":scheme": b"http", ":authority": b"a", ":path": b"/second"}
    with envoy.connect() as connection:
        connection.settimeout(0.2)
        connection.sendall(PREFACE + _frame(4, 0, 0, b"") + _frame(1, 5, 1, _hpack(fields)))
        _drain(connection)
    (line,) = lines(envoy, "/second")
    assert line["code"] == "200"


def test_no_server_does(envoy: Envoy, upstream: Upstream) -> None:
    sent = b""

    async def answer(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nx-plinth-unserved: %s\r\ncontent-length: 0\r\n\r\n"
        writer.write(head % sent)
        await writer.drain()

    upstream.answer = answer
    try:
        for sign in CONTROLS:
            sent = evil(sign)
            assert envoy.ask("/served").status in (502, 503), sign
    finally:
        upstream.answer = answering({"ok": True})
    close(envoy, "served")


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def _hpack(fields: dict[str, bytes]) -> bytes:
    """Write each field by its name and value, without any compression."""
    return b"".join(
        b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value
        for name, value in fields.items()
    )


def _drain(connection: socket.socket) -> None:
    with suppress(TimeoutError, ConnectionError):
        while connection.recv(65536):
            pass
