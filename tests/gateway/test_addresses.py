from __future__ import annotations

import pytest

from plinth.gateway.addresses import PRIVATE_NETWORKS, is_private, refuse_private


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


def test_envoy_refuses_the_same_networks() -> None:
    (policy,) = refuse_private()["typed_config"]["rules"]["policies"].values()
    found = [each["matcher"]["typed_config"]["upstream_ip"] for each in policy["permissions"]]
    assert {f"{each['address_prefix']}/{each['prefix_len']}" for each in found} == {
        str(network) for network in PRIVATE_NETWORKS
    }
