"""The resources of one kind as the file that Envoy reads, and what stands in such a file.

What is large is written in binary form: clusters and routes (`protobuf.py`). The rest is JSON,
which people can read; of all of it Envoy shows JSON at its administration's `/config_dump`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from plinth.gateway.envoy_types import CLUSTER, ROUTES, TYPE_PREFIX, Json
from plinth.gateway.protobuf import Piece, any_of, field
from plinth.gateway.protobuf_read import decode, name_in, parts
from plinth.kit.ids import digest_of

_VERSION_LENGTH = 16
_BINARY_TYPES = frozenset({CLUSTER, ROUTES})
# Fields of a DiscoveryResponse, of Any, and of a RouteConfiguration.
_VERSION, _RESOURCES = 1, 2
_ANY_VALUE = 2
_HOSTS = 2
_CLUSTER_TYPE = CLUSTER.removeprefix(TYPE_PREFIX)
_HOST_TYPE = "envoy.config.route.v3.VirtualHost"


@dataclass(frozen=True, slots=True)
class Resources:
    """All resources of one xDS type; `version` is the digest of `content`, the file's own part."""

    version: str
    items: tuple[Json, ...]
    content: bytes

    @property
    def is_binary(self) -> bool:
        """Tell whether they are clusters or routes, which are written in binary form."""
        return _are_binary(self.items)

    def to_bytes(self) -> bytes:
        """Return the file that Envoy reads."""
        if self.is_binary:
            return field(_VERSION, self.version.encode()) + self.content
        return b'{"resources":%s,"version_info":"%s"}' % (self.content, self.version.encode())


def resources(items: Sequence[Json]) -> Resources:
    """Return the items with the version that their content gives them.

    Raises ValueError for clusters or routes that are no such message.
    """
    if _are_binary(items):
        content = b"".join([field(_RESOURCES, any_of(each)) for each in items])
    else:
        content = text(list(items))
    return Resources(version_of(content), tuple(items), content)


def version_of(content: bytes) -> str:
    """Return the name that a content has for Envoy."""
    return digest_of(content)[:_VERSION_LENGTH]


def text(value: Json | list[Json]) -> bytes:
    """Return the one text of a JSON value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def clusters_in(file: bytes | None, *, without: Collection[str] = ()) -> list[Json]:
    """Return the clusters of a file that are not called so; none where there is no such file."""
    named = [(name_in(each), each) for each in _messages(file)]
    return [
        Piece({"@type": CLUSTER, **decode(_CLUSTER_TYPE, each)}, each)
        for name, each in named
        if name not in without
    ]


def hosts_in(file: bytes | None, *, without: Collection[str] = ()) -> list[Json]:
    """Return the virtual hosts in a file's routes that are not called so."""
    named = [(name_in(each), each) for one in _messages(file) for each in parts(one, _HOSTS)]
    return [Piece(decode(_HOST_TYPE, each), each) for name, each in named if name not in without]


def _messages(file: bytes | None) -> list[bytes]:
    """Return the messages in a file; none in what is no such file: somebody else wrote there."""
    try:
        found = parts(file or b"", _RESOURCES)
        return [value for each in found for value in parts(each, _ANY_VALUE)]
    except ValueError:
        return []


def _are_binary(items: Sequence[Json]) -> bool:
    return all(each["@type"] in _BINARY_TYPES for each in items)
