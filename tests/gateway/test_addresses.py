from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from plinth.gateway.addresses import (
    METADATA_NETWORKS,
    METADATA_POLICY,
    PRIVATE_NETWORKS,
    PRIVATE_POLICY,
    is_private,
    refuse_metadata,
    refuse_private,
)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.1.2.3", "0.0.0.0", "169.254.169.254", "10.0.0.1", "172.16.0.1"),
        *("192.168.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "fe80::1", "fe80::1%eth0"),
        *("fd00::1", "2002:7f00:1::", "2001:0:7f00:1::", "ff02::1", "::7f00:1"),
    ],
)
def test_nothing_of_this_machine_or_its_network_is_public(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert not is_private(address)


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        is_private("localhost")


def networks(filter_: Any) -> dict[str, set[str]]:
    """Return what each policy refuses."""
    return {
        name: {
            f"{each['address_prefix']}/{each['prefix_len']}"
            for permission in policy["permissions"]
            for each in [permission["matcher"]["typed_config"]["upstream_ip"]]
        }
        for name, policy in filter_["typed_config"]["rules"]["policies"].items()
    }


def test_envoy_refuses_the_same_networks() -> None:
    metadata = {str(network) for network in METADATA_NETWORKS}
    private = {str(network) for network in PRIVATE_NETWORKS}
    assert networks(refuse_private()) == {METADATA_POLICY: metadata, PRIVATE_POLICY: private}
    assert networks(refuse_metadata()) == {METADATA_POLICY: metadata}


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "fe80::1"),
        *("fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
        *("2002:a9fe:a9fe::1", "::ffff:168.63.129.16"),
    ],
)
def test_a_cloud_s_metadata_is_refused_wherever_it_answers(address: str) -> None:
    found = ipaddress.ip_address(address)
    assert any(found in each for each in METADATA_NETWORKS if each.version == found.version)


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "::1", "fd00::1", "1.1.1.1"])
def test_an_own_network_is_no_metadata(address: str) -> None:
    found = ipaddress.ip_address(address)
    assert not any(found in each for each in METADATA_NETWORKS if each.version == found.version)
