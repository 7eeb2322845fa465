"""Answer the one gRPC method that Envoy calls, over HTTP/2. Pure: bytes in, bytes out.

Whoever opens the socket is this node's Envoy, and there is one method: so the headers of a request
are never decoded, and those of an answer are constant. A gRPC library takes ten times as long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from plinth.kit.errors import Invalid

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 1, 1, 4, 8
_FRAME_HEAD = 9
_LONGEST_FRAME = 16_384
# Envoy's questions have some hundred bytes; what is longer is refused, not passed.
_LONGEST_MESSAGE = 2**20
_FIRST_WINDOW = 65_535
# Tell the sender that its bytes were read before its window is half used.
_CREDIT = 16_384
# How many answers are remembered, so that one which nobody waited for can be given back.
_REMEMBERED = 4096


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    head = len(content).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + content


_STATUS_200 = b"\x88"
_HEAD = _STATUS_200 + _literal(b"content-type", b"application/grpc")
_TRAILERS = _literal(b"grpc-status", b"0")
# SETTINGS_INITIAL_WINDOW_SIZE: no question has to wait for more room.
_SETTINGS_CONTENT = b"\x00\x04" + (2 * _LONGEST_MESSAGE).to_bytes(4, "big")
_HEAD_START = len(_HEAD).to_bytes(3, "big") + bytes((_HEADERS, _END_HEADERS))
_TRAILERS_START = len(_TRAILERS).to_bytes(3, "big") + bytes((_HEADERS, _END_HEADERS | _END_STREAM))
_DATA_START = bytes((_DATA, 0))

# Stands for a message that was not kept; it is none that can be read.
TOO_LONG = b"\xff"

# Takes messages; returns for each the answer, and the name of what was reserved for it.
Decide = Callable[[Sequence[bytes]], Sequence[tuple[bytes, str | None]]]
GiveBack = Callable[[Sequence[str]], None]


class Connection:
    """One connection from Envoy."""

    def __init__(self, decide: Decide, give_back: GiveBack) -> None:
        self._decide = decide
        self._give_back = give_back
        self._rest = b""
        self._is_open = False
        self._messages: dict[int, bytes] = {}
        self._answered: dict[int, str] = {}
        self._last_stream = 0
        self._credit = 0
        self._window = _FIRST_WINDOW
        self._waiting: deque[tuple[bytes, int]] = deque()

    def start(self) -> bytes:
        """Return what the guard says first."""
        return _frame(_SETTINGS, 0, 0, _SETTINGS_CONTENT)

    def goodbye(self) -> bytes:
        """Return what tells Envoy to ask on another connection."""
        return _frame(_GOAWAY, 0, 0, self._last_stream.to_bytes(4, "big") + bytes(4))

    def receive(self, received: bytes) -> bytes:
        """Take bytes from Envoy; return those for it. Raises Invalid: close the connection.

        All requests among them are decided together, so that one write to the disk does for all.
        """
        out: list[bytes] = []
        whole: dict[int, bytes] = {}
        gone: list[str] = []
        for kind, flags, stream, content in self._frames(received):
            if kind == _DATA:
                self._take(stream, flags, content, whole)
            elif kind == _RESET:
                self._forget(stream, whole, gone)
            else:
                self._control(kind, flags, stream, content, out)
        if gone:
            self._give_back(gone)
        if whole:
            self._answer(whole, out)
        if self._credit >= _CREDIT:
            out.append(_frame(_WINDOW, 0, 0, self._credit.to_bytes(4, "big")))
            self._credit = 0
        return b"".join(out)

    def _frames(self, received: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield whole frames: kind, flags, stream and content; keep what is not whole yet."""
        buffer = self._rest + received
        place, end = 0, len(buffer)
        if not self._is_open:
            if end < len(_PREFACE):
                self._rest = buffer
                return
            if not buffer.startswith(_PREFACE):
                raise Invalid("this is no HTTP/2")
            place, self._is_open = len(_PREFACE), True
        while end - place >= _FRAME_HEAD:
            length = int.from_bytes(buffer[place : place + 3], "big")
            if length > _LONGEST_FRAME:
                raise Invalid(f"a frame has {length} bytes")
            start = place + _FRAME_HEAD
            if start + length > end:
                break
            stream = int.from_bytes(buffer[place + 5 : start], "big") & 0x7FFFFFFF
            yield buffer[place + 3], buffer[place + 4], stream, buffer[start : start + length]
            place = start + length
        self._rest = buffer[place:]

    def _take(self, stream: int, flags: int, content: bytes, whole: dict[int, bytes]) -> None:
        self._credit += len(content)
        if flags & _PADDED:
            content = content[1 : len(content) - content[0]] if content else b""
        message = self._messages.pop(stream, b"")
        if len(message) <= _LONGEST_MESSAGE:
            message += content
        if flags & _END_STREAM:
            # Five bytes of gRPC: whether it is compressed, and its length.
            whole[stream] = message[5:] if len(message) <= _LONGEST_MESSAGE else TOO_LONG
            self._last_stream = stream
        else:
            self._messages[stream] = message

    def _forget(self, stream: int, whole: dict[int, bytes], gone: list[str]) -> None:
        """Envoy waits no more: do not reserve, or give back what was reserved."""
        self._messages.pop(stream, None)
        if whole.pop(stream, None) is None:
            name = self._answered.pop(stream, None)
            if name is not None:
                gone.append(name)

    def _control(
        self, kind: int, flags: int, stream: int, content: bytes, out: list[bytes]
    ) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            out.append(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            out.append(_frame(_PING, _ACK, 0, content))
        elif kind == _WINDOW and stream == 0:
            self._window += int.from_bytes(content, "big") & 0x7FFFFFFF
            while self._waiting and self._waiting[0][1] <= self._window:
                frames, size = self._waiting.popleft()
                self._window -= size
                out.append(frames)

    def _answer(self, whole: dict[int, bytes], out: list[bytes]) -> None:
        decided = self._decide(list(whole.values()))
        for stream, (answer, name) in zip(whole, decided, strict=True):
            at = stream.to_bytes(4, "big")
            if name is not None:
                self._answered[stream] = name
            size = len(answer) + 5
            frames = b"".join(
                (
                    *(_HEAD_START, at, _HEAD),
                    *(size.to_bytes(3, "big"), _DATA_START, at, b"\0"),
                    *(len(answer).to_bytes(4, "big"), answer),
                    *(_TRAILERS_START, at, _TRAILERS),
                )
            )
            if self._waiting or size > self._window:
                self._waiting.append((frames, size))
            else:
                self._window -= size
                out.append(frames)
        while len(self._answered) > _REMEMBERED:
            del self._answered[next(iter(self._answered))]
