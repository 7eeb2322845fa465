"""Refuse addresses of external models that lead into this machine or its own network.

Whoever may apply a file would otherwise reach, through the gateway, what only this machine may:
its own services, its neighbours, a cloud's metadata. An operator may allow it.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

from plinth.kit.errors import Invalid, Temporary
from plinth.kit.excerpt import excerpt

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
# Returns the IP addresses of a host's name. Raises OSError where it has none.
Resolve: TypeAlias = Callable[[str], Sequence[str]]

_RESOLVE_S = 5.0
_PORTS = {"http": 80, "https": 443}
_ALLOW = (
    "an operator allows it with `allow_private_upstreams = true` in `settings.toml` of Plinth's "
    "home, and starts Plinth anew"
)
# Names that clouds give the service that hands out a machine's credentials, and a public address
# of one that only a machine itself may ask.
_METADATA_NAMES = ("metadata", "metadata.goog", "metadata.google.internal", "instance-data")
_METADATA_SUFFIXES = (".metadata.google.internal", ".ec2.internal")
_METADATA_ADDRESSES = frozenset({ipaddress.ip_address("168.63.129.16")})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def check_address(
    url: str,
    *,
    where: str,
    is_secret: bool,
    allow_private: bool = False,
    resolve: Resolve | None = None,
) -> None:
    """Return if the gateway may send requests to `url`; `where`: its field in the file.

    Asks the name service and waits for it some seconds. `is_secret`: a credential goes along.
    With `allow_private` nothing is asked. Raises Invalid with how to allow what is refused,
    Temporary when names cannot be resolved now. A name may lead elsewhere later: it is only checked
    here.
    """
    if allow_private:
        return
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    found = literal(host)
    addresses = [found] if found is not None else _resolved(host, where, resolve or _ask_system)
    for address in addresses:
        why = None if address is None else why_private(address)
        if why is not None:
            shown = f"`{excerpt(host)}`" + ("" if found == address else f" is `{address}`, which")
            raise Invalid(f"`{where}`: {shown} is {why}", hint=_ALLOW, code="private_address")
    if is_secret and parts.scheme == "http":
        raise Invalid(
            f"`{where}` begins with `http://`, and the credential would be sent for all to read",
            hint=f"write `https://`; to an address of your own network {_ALLOW}",
        )


def check_not_ourselves(url: str, port: int, *, where: str) -> None:
    """Raise Invalid for the address of this Plinth's own gateway: a request would never arrive."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    address = literal(host)
    is_here = host == "localhost" or host.endswith(".localhost")
    if address is not None:
        inner = _inner(address) or address
        is_here = inner.is_loopback or inner.is_unspecified
    if is_here and (parts.port or _PORTS[parts.scheme]) == port:
        raise Invalid(
            f"`{where}` is Plinth's own address, and a request would come back for ever",
            hint="name the other endpoint's model here: its `model` or its `external`",
        )


def literal(host: str) -> Address | None:
    """Return the IP address that a host is, in any spelling that programs accept; None: a name.

    `127.1`, `2130706433`, `0x7f000001` and `0177.0.0.1` are all 127.0.0.1.
    """
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def why_private(address: Address) -> str | None:
    """Say what kind of address it is when it is not one of the public Internet, else None."""
    inner = _inner(address)
    if inner is not None:
        return why_private(inner)
    kinds = (
        (address.is_loopback, "this machine itself"),
        (address.is_unspecified, "this machine itself"),
        (address.is_link_local, "an address of the link, where clouds answer for their metadata"),
        (address in _METADATA_ADDRESSES, "an address at which a cloud answers for its machines"),
        (address.is_multicast, "a multicast address"),
        (address.is_private, "a private address"),
        (not address.is_global, "a reserved address"),
    )
    return next((words for holds, words in kinds if holds), None)


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to, by whichever kind of wrapping."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _resolved(host: str, where: str, resolve: Resolve) -> list[Address | None]:
    if host == "localhost" or host.endswith(".localhost"):
        return [ipaddress.ip_address("127.0.0.1")]
    if host in _METADATA_NAMES or host.endswith(_METADATA_SUFFIXES):
        raise Invalid(
            f"`{where}`: `{excerpt(host)}` is a name of a cloud's metadata service",
            hint=_ALLOW,
            code="private_address",
        )
    answers: queue.Queue[Sequence[str] | OSError] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(resolve(host))
        except OSError as err:
            answers.put(err)

    # The system's own call has no time limit; a thread that is left behind ends by itself.
    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=_RESOLVE_S)
    except queue.Empty as err:
        raise Temporary(
            f"`{where}`: the name service did not say within {_RESOLVE_S:.0f} s what "
            f"`{excerpt(host)}` is",
            hint="apply the file again in a moment",
        ) from err
    if isinstance(answer, OSError):
        if isinstance(answer, socket.gaierror) and answer.errno == socket.EAI_AGAIN:
            raise Temporary(
                f"`{where}`: the name service does not answer, so `{excerpt(host)}` cannot be "
                "checked",
                hint="apply the file again in a moment",
            ) from answer
        raise Invalid(
            f"`{where}`: no host has the name `{excerpt(host)}`", hint="check how it is spelled"
        ) from answer
    return [literal(each.partition("%")[0]) for each in answer]


def _ask_system(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({str(each[4][0]) for each in found})
