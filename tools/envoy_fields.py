"""Make the table of the fields of Envoy's messages from the Envoy that is installed.

`python -m tools.envoy_fields`. Envoy's program holds the descriptions of all its messages (Apache
License 2.0), by which it reads JSON itself. From them this takes numbers and types of the fields
of what we write in binary form, and of what that consists of. A test compares the table with the
program, so an upgrade of Envoy cannot go past it.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plinth.gateway import envoy
from plinth.gateway.protobuf_read import name_in, parts, walk

TABLE = Path(__file__).parents[1] / "src" / "plinth" / "gateway" / "envoy_fields.json"
_ROUTE, _HTTP = "envoy.config.route.v3.", "envoy.extensions.filters.http."
# What is written, and the extensions in it. A new one is added here.
ROOTS = (
    "envoy.service.discovery.v3.DiscoveryResponse",
    "envoy.config.cluster.v3.Cluster",
    f"{_ROUTE}RouteConfiguration",
    f"{_ROUTE}RouteList",
    f"{_ROUTE}FilterConfig",
    "envoy.config.rbac.v3.Action",
    "envoy.extensions.clusters.composite.v3.ClusterConfig",
    f"{_HTTP}buffer.v3.BufferPerRoute",
    f"{_HTTP}credential_injector.v3.CredentialInjector",
    f"{_HTTP}dynamic_modules.v3.DynamicModuleFilterPerRoute",
    f"{_HTTP}header_mutation.v3.HeaderMutation",
    f"{_HTTP}header_mutation.v3.HeaderMutationPerRoute",
    f"{_HTTP}local_ratelimit.v3.LocalRateLimit",
    f"{_HTTP}lua.v3.LuaPerRoute",
    f"{_HTTP}ratelimit.v3.RateLimitPerRoute",
    f"{_HTTP}rbac.v3.RBAC",
    f"{_HTTP}rbac.v3.RBACPerRoute",
    f"{_HTTP}upstream_codec.v3.UpstreamCodec",
    "envoy.extensions.http.injected_credentials.generic.v3.Generic",
    "envoy.extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher",
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
    "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
    "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
    "google.protobuf.StringValue",
)
_SCALARS = {
    1: "double",
    2: "float",
    3: "int64",
    4: "uint64",
    5: "int32",
    8: "bool",
    9: "string",
    12: "bytes",
    13: "uint32",
}
_MESSAGE, _ENUM, _MANY = 11, 14, 3
_START = re.compile(rb"\n([\x05-\x7f])([a-z][A-Za-z0-9_/.\-]{2,125}\.proto)")
# The last field of a description, which says in which language it was written.
_SYNTAX, _LAST = 12, 14


def main() -> None:
    """Write the table."""
    TABLE.write_text(text_of(table(descriptions())))


def text_of(found: dict[str, Any]) -> str:
    """Return the table as it is kept: a line for each message."""
    kinds = []
    for kind, types in found.items():
        lines = [f'  "{name}": {json.dumps(types[name])}' for name in sorted(types)]
        kinds.append(f' "{kind}": {{\n' + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def descriptions() -> Iterator[bytes]:
    """Yield the description of each file of messages that the program holds."""
    with (
        envoy.binary().open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as program,
    ):
        for start in _START.finditer(program):
            if start[1][0] == len(start[2]):
                found = _description(program[start.start() : start.start() + 2**18])
                if found is not None:
                    yield found


def _description(text: bytes) -> bytes | None:
    """Return what `text` begins with, when that is a description."""
    length, last = 0, 0
    fields = walk(text)
    try:
        for number, content in fields:
            if not last <= number <= _LAST or not isinstance(content, bytes):
                return None
            last = number
            length += 1 + _size_of(len(content)) + len(content)
            if number == _SYNTAX:
                return text[:length]
    except ValueError:
        return None
    return None


def _size_of(length: int) -> int:
    return max(1, -(-length.bit_length() // 7))


def table(files: Iterator[bytes]) -> dict[str, Any]:
    """Return the fields of the messages and the numbers of the enumerations, by name."""
    messages: dict[str, bytes] = {}
    enums: dict[str, bytes] = {}
    for file in files:
        package = b"".join(parts(file, 2)).decode()
        _collect(package, parts(file, 4), parts(file, 5), (messages, enums))
    found: dict[str, Any] = {"messages": {}, "enums": {}}
    wanted = list(ROOTS)
    while wanted:
        name = wanted.pop()
        if name in found["messages"] or name in found["enums"]:
            continue
        if name in enums:
            found["enums"][name] = _numbers(enums[name])
            continue
        fields, used = _fields(messages[name], messages)
        found["messages"][name] = fields
        wanted += used
    return found


def _collect(
    scope: str,
    messages: list[bytes],
    enums: list[bytes],
    found: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    for each in enums:
        found[1][f"{scope}.{name_in(each)}"] = each
    for each in messages:
        name = f"{scope}.{name_in(each)}"
        found[0][name] = each
        _collect(name, parts(each, 3), parts(each, 4), found)


def _numbers(enum: bytes) -> dict[str, int]:
    pairs = (dict(walk(each)) for each in parts(enum, 2))
    return {_text(each[1]): _int(each.get(2, 0)) for each in pairs}


def _fields(message: bytes, messages: dict[str, bytes]) -> tuple[dict[str, str], list[str]]:
    """Return the fields, and which types are used in them."""
    found, used = {}, []
    for each in (dict(walk(part)) for part in parts(message, 2)):
        kind, key, many = _kind(each), "", "*" if each[4] == _MANY else ""
        entry = messages.get(kind)
        if entry is not None and dict(walk(b"".join(parts(entry, 7)))).get(7):
            (first, second) = (dict(walk(part)) for part in parts(entry, 2))
            kind, key, many = _kind(second), f"{{{_kind(first)}}}", ""
        if "." in kind:
            used.append(kind)
        found[_text(each[1])] = f"{each[3]!r} {key}{many}{kind}"
    return found, used


def _kind(field: dict[int, Any]) -> str:
    number = field[5]
    if number in (_MESSAGE, _ENUM):
        return _text(field[6]).removeprefix(".")
    return _SCALARS[number]


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes), "the description of a message is damaged"
    return value


def _int(value: int | bytes) -> int:
    assert isinstance(value, int), "the description of a message is damaged"
    return value


if __name__ == "__main__":
    main()
