"""The filter of our own without Envoy: the library that Envoy loads, called as Envoy calls it.

`Stream` is one request and its answer. Its bodies come in the pieces that a test says, and the
filter's calls are answered here as Envoy answers them. What Envoy itself does with all this is for
`tests/conformance/test_module.py`.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable
from ctypes import CFUNCTYPE, POINTER, Structure, c_bool, c_int, c_size_t, c_void_p
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from plinth.gateway.native.library_file import build, library

REQUEST, RESPONSE = 0, 2
REQUEST_NOW, REQUEST_HELD, RESPONSE_NOW, RESPONSE_HELD = range(4)
GO_ON, STOP = 0, 1
HOLD, REFUSED = 1, 3
_ON = "envoy_dynamic_module_on_http_filter_"


class Buffer(Structure):
    """A text by its place and length."""

    _fields_ = (("ptr", c_void_p), ("len", c_size_t))

    @property
    def text(self) -> bytes:
        return ctypes.string_at(self.ptr, self.len) if self.ptr else b""


_STREAMS: dict[int, Stream] = {}
_KEPT: list[Any] = []
_NUMBERS = itertools.count(1)


@dataclass
class Stream:
    """One request, its answer, and what the filter made of both.

    `pieces`: of the four bodies. `notes`: by namespace and key. `marks`: of the route that is
    chosen anew; `rules`: who may use it. `sent`: status, words and details of a refusal.
    `called`: what was sent to a cluster, by its name; `can_call`: whether that goes.
    """

    part: str = "caller"
    headers: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=lambda: {0: [], 2: []})
    pieces: list[list[bytes]] = field(default_factory=lambda: [[], [], [], []])
    notes: dict[tuple[str, str], str] = field(default_factory=dict)
    marks: dict[str, Any] = field(default_factory=dict)
    rules: str | None = "everybody"
    is_held_before: bool = False
    is_chosen_anew: bool = False
    called: tuple[str, dict[str, str]] | None = None
    can_call: bool = True
    went_on: bool = False
    sent: tuple[int, str, str] | None = None
    got: bytes | None = None
    _kept: list[Any] = field(default_factory=list)

    def __enter__(self) -> Stream:
        self.number = next(_NUMBERS)
        _STREAMS[self.number] = self
        self.settings = route_settings(self.part)
        self.filter = _loaded().envoy_dynamic_module_on_http_filter_new(
            filter_settings("none"), c_void_p(self.number)
        )
        return self

    def __exit__(self, *_: object) -> None:
        _loaded().envoy_dynamic_module_on_http_filter_destroy(c_void_p(self.filter))
        del _STREAMS[self.number]

    def ask(
        self,
        body: bytes | Iterable[bytes],
        path: str = "/v1/chat/completions",
        *,
        with_trailers: bool = False,
        **headers: str,
    ) -> Stream:
        """Send a request whose body comes in these pieces; `got`: what a server gets of it."""
        pieces = [body] if isinstance(body, bytes) else list(body)
        named = {"content_type": "application/json", **headers}
        self.headers[REQUEST] = [
            (b":path", path.encode()),
            *((name.replace("_", "-").encode(), it.encode()) for name, it in named.items()),
        ]
        if self._call("request_headers", is_last=not pieces and not with_trailers) == GO_ON:
            self.got = b"".join(pieces)
            return self
        for number, piece in enumerate(pieces, 1):
            if self.sent is not None:
                return self
            self.pieces[REQUEST_NOW] = [piece]
            status = self._call("request_body", is_last=number == len(pieces) and not with_trailers)
            assert status in (GO_ON, HOLD) or self.sent is not None
            self.pieces[REQUEST_HELD] += self.pieces[REQUEST_NOW]
            self.pieces[REQUEST_NOW] = []
        if with_trailers and self.sent is None:
            self._call("request_trailers")
        if self.sent is None:
            self.got = b"".join(self.pieces[REQUEST_HELD])
        return self

    def answer(
        self,
        frames: Iterable[bytes],
        kind: str = "application/json",
        *,
        is_cut: bool = False,
        **headers: str,
    ) -> bytes:
        """Answer with a body in these frames; return what the caller gets of it."""
        frames = list(frames)
        self.headers[RESPONSE] = [
            (b"content-type", kind.encode()),
            *((name.replace("_", "-").encode(), it.encode()) for name, it in headers.items()),
        ]
        self._call("response_headers", is_last=not frames)
        out = []
        for number, frame in enumerate(frames, 1):
            self.pieces[RESPONSE_NOW] = [frame]
            self._call("response_body", is_last=number == len(frames) and not is_cut)
            out += self.pieces[RESPONSE_NOW]
        getattr(_loaded(), f"{_ON}stream_complete")(c_void_p(self.number), c_void_p(self.filter))
        return b"".join(out)

    @property
    def library(self) -> ctypes.CDLL:
        """What Envoy loads."""
        return _loaded()

    @property
    def place(self) -> str | None:
        """The endpoint for which a route is chosen, or None."""
        found = self.header(REQUEST, "x-plinth-place")
        return found.removeprefix("endpoint:") if found else None

    @property
    def told(self) -> Any:
        """What the access log says of the answer."""
        return _noted(self.notes.get(("plinth.usage", "told")))

    @property
    def asked(self) -> Any:
        """What the access log says of the request."""
        return _noted(self.notes.get(("plinth", "asked")))

    def header(self, kind: int, name: str) -> str | None:
        """Return the first value of a header."""
        found = (value for key, value in self.headers[kind] if key == name.encode())
        return next((value.decode() for value in found), None)

    def keep(self, text: bytes) -> Buffer:
        """Return a text that lives as long as this."""
        kept = ctypes.create_string_buffer(text, len(text))
        self._kept.append(kept)
        return Buffer(ctypes.addressof(kept), len(text))

    def _call(self, hook: str, *, is_last: bool | None = None) -> int:
        more = () if is_last is None else (c_bool(is_last),)
        found: int = getattr(_loaded(), f"{_ON}{hook}")(
            c_void_p(self.number), c_void_p(self.filter), *more
        )
        return found


def whole(body: bytes, **more: Any) -> Stream:
    """Return the stream of a request with this body, which is ended."""
    with Stream() as stream:
        return stream.ask(body, **more)


# -- what Envoy answers to the filter --------------------------------------------------------------


def _of(handle: int) -> Stream:
    return _STREAMS[handle]


def _get_header(handle: int, kind: int, name: Buffer, value: Any, *which: Any) -> bool:
    stream, (index, count) = _of(handle), which
    found = [it for key, it in stream.headers[kind] if key == name.text]
    if count:
        count[0] = len(found)
    if index >= len(found):
        value[0] = Buffer()
        return False
    value[0] = stream.keep(found[index])
    return True


def _header_count(handle: int, kind: int) -> int:
    return len(_of(handle).headers[kind])


def _headers(handle: int, kind: int, room: Any) -> bool:
    stream = _of(handle)
    for number, (key, it) in enumerate(stream.headers[kind]):
        room[number][0], room[number][1] = stream.keep(key), stream.keep(it)
    return bool(stream.headers[kind])


def _set_header(handle: int, kind: int, name: Buffer, value: Buffer) -> bool:
    headers = _of(handle).headers[kind]
    headers[:] = [each for each in headers if each[0] != name.text]
    if value.ptr:
        headers.append((name.text, value.text))
    return True


def _respond(handle: int, status: int, body: Buffer, details: Buffer) -> None:
    stream = _of(handle)
    assert stream.sent is None, "it answers twice"
    stream.sent = status, body.text.decode(errors="surrogateescape"), details.text.decode()


def _call(handle: int, cluster: Buffer, headers: Any, count: int) -> int:
    stream = _of(handle)
    pairs = (headers[number] for number in range(count))
    sent = {name.text.decode(): value.text.decode() for name, value in pairs}
    stream.called = cluster.text.decode(), sent
    return 0 if stream.can_call else 4


def _go_on(handle: int) -> None:
    stream = _of(handle)
    assert not stream.went_on
    stream.went_on = True


def _body_size(handle: int, body: int) -> int:
    return sum(map(len, _of(handle).pieces[body]))


def _piece_count(handle: int, body: int) -> int:
    return len(_of(handle).pieces[body])


def _pieces(handle: int, body: int, room: Any) -> bool:
    stream = _of(handle)
    for number, piece in enumerate(stream.pieces[body]):
        room[number] = stream.keep(piece)
    return bool(stream.pieces[body])


def _append(handle: int, body: int, text: Buffer) -> bool:
    _of(handle).pieces[body].append(text.text)
    return True


def _drain(handle: int, body: int, size: int) -> bool:
    pieces = _of(handle).pieces[body]
    assert size == sum(map(len, pieces)), "only all of a body is taken away"
    pieces.clear()
    return True


def _is_held_before(handle: int) -> bool:
    return _of(handle).is_held_before


def _note(handle: int, namespace: Buffer, key: Buffer, value: Buffer) -> None:
    notes = _of(handle).notes
    words = value.text.decode(errors="surrogateescape")
    notes[namespace.text.decode(), key.text.decode()] = words


def _route_mark(handle: int, key: Buffer, value: Any) -> bool:
    stream = _of(handle)
    found = stream.marks.get(key.text.decode())
    value[0] = bool(found)
    return stream.is_chosen_anew and isinstance(found, bool)


def _route_text(handle: int, key: Buffer, value: Any) -> bool:
    stream = _of(handle)
    found = stream.marks.get(key.text.decode())
    if not isinstance(found, str):
        return False
    value[0] = stream.keep(found.encode())
    return True


def _choose_anew(handle: int) -> None:
    _of(handle).is_chosen_anew = True


def _settings(handle: int) -> int | None:
    stream = _of(handle)
    if not stream.is_chosen_anew:
        return stream.settings.value if stream.settings else None
    return None if stream.rules is None else route_settings("granted", stream.rules).value


_SHAPES: tuple[tuple[Callable[..., Any], Any, tuple[Any, ...]], ...] = (
    (_get_header, c_bool, (c_int, Buffer, POINTER(Buffer), c_size_t, POINTER(c_size_t))),
    (_header_count, c_size_t, (c_int,)),
    (_headers, c_bool, (c_int, POINTER(Buffer * 2))),
    (_set_header, c_bool, (c_int, Buffer, Buffer)),
    (_respond, None, (ctypes.c_uint32, Buffer, Buffer)),
    (_call, c_int, (Buffer, POINTER(Buffer * 2), c_size_t)),
    (_go_on, None, ()),
    (_body_size, c_size_t, (c_int,)),
    (_piece_count, c_size_t, (c_int,)),
    (_pieces, c_bool, (c_int, POINTER(Buffer))),
    (_append, c_bool, (c_int, Buffer)),
    (_drain, c_bool, (c_int, c_size_t)),
    (_is_held_before, c_bool, ()),
    (_note, None, (Buffer, Buffer, Buffer)),
    (_route_mark, c_bool, (Buffer, POINTER(c_bool))),
    (_route_text, c_bool, (Buffer, POINTER(Buffer))),
    (_choose_anew, None, ()),
    (_settings, c_void_p, ()),
)


def _noted(text: str | None) -> Any:
    """Read what goes into a line of the log, where a control character would end the field."""
    if text is None:
        return None
    assert not any(each < " " for each in text), text
    return json.loads(text)


@cache
def _loaded() -> ctypes.CDLL:
    """Load the stand-in for Envoy, where the library finds what it calls, and then the library."""
    source = Path(__file__).parent / "native_callbacks.zig"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:32]
    path = library().parents[1] / f"test-{digest}" / "libcallbacks.so"
    if not path.is_file():
        build(path, source)
    callbacks = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    given = [
        CFUNCTYPE(result, c_void_p, *arguments)(function) for function, result, arguments in _SHAPES
    ]
    table = (c_void_p * len(given))(*(ctypes.cast(each, c_void_p) for each in given))
    callbacks.give(table)
    found = ctypes.CDLL(str(library()))
    # They must live as long as the library.
    found.given = (callbacks, given, table)  # type: ignore[attr-defined]
    for name in ("config_new", "per_route_config_new", "new"):
        getattr(found, f"{_ON}{name}").restype = c_void_p
    return found


@cache
def filter_settings(part: str, text: str = "") -> c_void_p:
    """Return what the library made of a filter's settings. Raises ValueError when it made none."""
    found = _loaded().envoy_dynamic_module_on_http_filter_config_new(None, _kept(part), _kept(text))
    return _made(found, text)


@cache
def route_settings(part: str, text: str = "") -> c_void_p:
    """Return what the library made of a route's. Raises ValueError when it made none."""
    found = _loaded().envoy_dynamic_module_on_http_filter_per_route_config_new(
        _kept(part), _kept(text)
    )
    return _made(found, text)


def _kept(text: str) -> Buffer:
    kept = ctypes.create_string_buffer(text.encode())
    _KEPT.append(kept)
    return Buffer(ctypes.addressof(kept), len(kept) - 1)


def _made(found: int | None, text: str) -> c_void_p:
    if not found:
        raise ValueError(f"these are no settings: {text!r}")
    return c_void_p(found)
