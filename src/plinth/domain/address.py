"""Which addresses lead into this machine or its own network, as far as they are written out.

Pure: who applies a file has names looked up besides (`control/endpoints/addresses.py`).
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TypeAlias
from urllib.parse import urlsplit

from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

ALLOW = (
    "an operator allows it with `allow_private_upstreams = true` in `settings.toml` of Plinth's "
    "home, and starts Plinth anew"
)
_NEVER = (
    "who asks there gets the credentials of this machine, so it is never allowed; name the server "
    "that serves the model"
)
_PORTS = {"http": 80, "https": 443}
# Names that clouds give the service that hands out a machine's credentials. The first two are of
# nothing else, the others may be of a machine of one's own network.
_METADATA_NAMES = ("metadata.goog", "metadata.google.internal")
_METADATA_SUFFIXES = (".metadata.google.internal",)
_DOUBTFUL_NAMES = ("metadata", "instance-data")
_DOUBTFUL_SUFFIXES = (".ec2.internal",)
# Where it answers, as the clouds' own documentation has it, beside the addresses of the link:
# Azure, Alibaba Cloud, AWS (machines, and what runs in their Kubernetes), Google Cloud.
METADATA_ADDRESSES = tuple(
    ipaddress.ip_address(each)
    for each in (
        *("168.63.129.16", "100.100.100.200"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_THIS_MACHINE = ipaddress.ip_address("127.0.0.1")


def check_written(url: str, *, where: str, is_secret: bool, allow_private: bool = False) -> None:
    """Raise Invalid for what the address alone shows that the gateway may not send requests to.

    `where`: its field in the file. `is_secret`: a credential goes along. `allow_private`: only a
    cloud's metadata is refused.
    """
    host = host_of(url)
    found = literal(host)
    if found is not None:
        refuse_metadata(host, found, where=where)
    is_metadata = host in _METADATA_NAMES or host.endswith(_METADATA_SUFFIXES)
    is_doubtful = host in _DOUBTFUL_NAMES or host.endswith(_DOUBTFUL_SUFFIXES)
    if is_metadata or (is_doubtful and not allow_private):
        raise Invalid(
            f"`{where}`: `{excerpt(host)}` is a name of a cloud's metadata service",
            hint=ALLOW if is_doubtful else _NEVER,
            code="private_address",
        )
    if allow_private:
        return
    if is_local(host):
        refuse_private(host, _THIS_MACHINE, where=where)
    if found is not None:
        refuse_private(host, found, where=where)
    if is_secret and urlsplit(url).scheme == "http":
        raise Invalid(
            f"`{where}` begins with `http://`, and the credential would be sent for all to read",
            hint=f"write `https://`; to an address of your own network {ALLOW}",
        )


def refuse_private(host: str, address: Address, *, where: str) -> None:
    """Raise Invalid when the address that `host` is, or stands for, is no public one."""
    why = why_private(address)
    if why is not None:
        _refuse(host, address, why, where=where, hint=ALLOW)


def refuse_metadata(host: str, address: Address, *, where: str) -> None:
    """Raise Invalid when the address that `host` is, or stands for, is of a cloud's metadata.

    Nobody can allow it: who asks there gets the credentials of the machine.
    """
    why = _why_metadata(_inner(address) or address)
    if why is not None:
        _refuse(host, address, why, where=where, hint=_NEVER)


def _refuse(host: str, address: Address, why: str, *, where: str, hint: str) -> None:
    shown = f"`{excerpt(host)}`" + ("" if literal(host) else f" is `{address}`, which")
    raise Invalid(f"`{where}`: {shown} is {why}", hint=hint, code="private_address")


def _why_metadata(address: Address) -> str | None:
    if address.is_link_local:
        return "an address of the link, where clouds answer for their metadata"
    if address in METADATA_ADDRESSES:
        return "an address at which a cloud answers for its machines"
    return None


def check_not_ourselves(url: str, port: int, *, where: str) -> None:
    """Raise Invalid for the address of this Plinth's own gateway: a request would never arrive."""
    host, address = host_of(url), literal(host_of(url))
    if is_local(host) or (address is not None and is_this_machine(address)):
        refuse_ourselves(url, port, where=where)


def refuse_ourselves(url: str, port: int, *, where: str) -> None:
    """Raise Invalid when the port of an address on this machine is the gateway's."""
    if port_of(url) == port:
        raise Invalid(
            f"`{where}` is Plinth's own address, and a request would come back for ever",
            hint="name the other endpoint's model here: its `model` or its `external`",
        )


def host_of(url: str) -> str:
    """Return the host of an address, as names are compared."""
    return (urlsplit(url).hostname or "").rstrip(".").lower()


def port_of(url: str) -> int:
    """Return the port that an address means."""
    parts = urlsplit(url)
    return parts.port or _PORTS[parts.scheme]


def is_local(host: str) -> bool:
    """Tell whether a name always means this machine."""
    return host == "localhost" or host.endswith(".localhost")


def is_this_machine(address: Address) -> bool:
    """Tell whether what is sent there comes back to this machine."""
    inner = _inner(address) or address
    return inner.is_loopback or inner.is_unspecified


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
    metadata = _why_metadata(address)
    if metadata is not None:
        return metadata
    kinds = (
        (address.is_loopback, "this machine itself"),
        (address.is_unspecified, "this machine itself"),
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
