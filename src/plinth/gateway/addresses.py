"""Addresses that no external model may have: of this machine, of its network, of nobody.

The control plane refuses a file that names one. Envoy looks again, at the address that a name has
when it connects: who owns a name may change its address afterwards.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TypeAlias

from plinth.domain.address import METADATA_ADDRESSES
from plinth.gateway.envoy_types import Json, typed

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV4 = 4
PRIVATE_POLICY = "private-address"
METADATA_POLICY = "metadata-address"
# From the registries of special-purpose addresses (RFC 6890 and its updates), all that is not
# reachable from everywhere, or that holds another address which may not be.
_NETWORKS = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15"),
    *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
    # Of IPv6, only 2000::/3 is given out at all.
    *("::/3", "4000::/2", "8000::/1"),
    *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
PRIVATE_NETWORKS = tuple(ipaddress.ip_network(each) for each in _NETWORKS)
# Where a cloud answers for its machines, also as IPv6 leads to it: mapped, and by way of NAT64 and
# 6to4. Nobody can allow it.
_LINKS = (
    *("169.254.0.0/16", "fe80::/10"),
    *("::ffff:169.254.0.0/112", "64:ff9b::169.254.0.0/112", "2002:a9fe::/32"),
)
METADATA_NETWORKS = (
    *(ipaddress.ip_network(each) for each in _LINKS),
    *(ipaddress.ip_network(each) for each in METADATA_ADDRESSES),
    *(
        ipaddress.ip_network(f"::ffff:{each}")
        for each in METADATA_ADDRESSES
        if each.version == _IPV4
    ),
)


def is_private(address: str) -> bool:
    """Tell whether an IP address is one of those. Raises ValueError when it is no address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return any(found in network for network in PRIVATE_NETWORKS if network.version == found.version)


@cache
def refuse_private() -> Json:
    """Return the filter of a cluster that answers 403 instead of connecting to such an address."""
    return _refuse({METADATA_POLICY: METADATA_NETWORKS, PRIVATE_POLICY: PRIVATE_NETWORKS})


@cache
def refuse_metadata() -> Json:
    """Return the filter that refuses, where private addresses are allowed, what nobody may ask."""
    return _refuse({METADATA_POLICY: METADATA_NETWORKS})


def _refuse(policies: Mapping[str, Iterable[Network]]) -> Json:
    found = {
        name: {"permissions": _matches(networks), "principals": [{"any": True}]}
        for name, networks in policies.items()
    }
    return typed(
        "envoy.filters.http.upstream_rbac",
        "extensions.filters.http.rbac.v3.RBAC",
        rules={"action": "DENY", "policies": found},
    )


def _matches(networks: Iterable[Network]) -> list[Json]:
    return [
        {
            "matcher": typed(
                "address",
                "extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher",
                upstream_ip={
                    "address_prefix": str(network.network_address),
                    "prefix_len": network.prefixlen,
                },
            )
        }
        for network in networks
    ]
