"""What leads into this machine or its network is refused, however it is written."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from plinth.control.endpoints import addresses
from plinth.control.endpoints.addresses import check_address, check_no_way_back
from plinth.kit.errors import Invalid, Temporary


def check(url: str, *names: str, is_secret: bool = False, allow: bool = False) -> str | None:
    def resolve(_host: str) -> Sequence[str]:
        return names

    return check_address(
        url, where="external.url", is_secret=is_secret, allow_private=allow, resolve=resolve
    )


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "0"),
        *("localhost", "LOCALHOST", "x.localhost", "10.1.2.3", "192.168.0.1", "172.16.0.1"),
        *("224.0.0.1", "240.0.0.1", "[fd00::1]"),
        *("[::1]", "[::]", "[ff02::1]", "[::ffff:127.0.0.1]"),
        *("[::ffff:a00:1]", "[64:ff9b::a00:1]", "[2002:7f00:1::]", "[::127.0.0.1]"),
        *("metadata", "instance-data.ec2.internal"),
    ],
)
def test_a_private_address_is_refused_in_every_spelling(host: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(f"https://{host}:8443/v1", "1.1.1.1")
    assert caught.value.code == "private_address"
    assert "`external.url`" in caught.value.message
    assert "allow_private_upstreams" in str(caught.value.hint)


@pytest.mark.parametrize("host", ["1.1.1.1", "[2606:4700:4700::1111]", "api.example.com"])
def test_a_public_address_is_accepted(host: str) -> None:
    check(f"https://{host}/v1", "93.184.216.34", "2606:2800:220:1::1")


def test_a_name_is_refused_when_any_of_its_addresses_is_private() -> None:
    with pytest.raises(Invalid, match=r"`rebind.example.com` is `10.0.0.1`, which is a private"):
        check("https://rebind.example.com/v1", "93.184.216.34", "10.0.0.1")
    with pytest.raises(Invalid, match="this machine itself"):
        check("https://rebind.example.com/v1", "::1%lo")


def test_an_operator_may_allow_it() -> None:
    assert check("http://127.0.0.1:1/v1", is_secret=True, allow=True) is None
    assert check("http://localhost:1/v1", is_secret=True, allow=True) is None
    assert check("http://gpu.example.com/v1", "10.0.0.1", is_secret=True, allow=True) is None
    assert check("http://metadata/v1", "10.0.0.1", allow=True) is None


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "0xa9fea9fe", "169.254.170.2", "100.100.100.200", "168.63.129.16"),
        *("[fe80::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[::ffff:169.254.169.254]"),
        *("[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[::ffff:168.63.129.16]"),
        *("metadata.google.internal", "x.metadata.google.internal", "metadata.goog"),
    ],
)
def test_a_cloud_s_metadata_is_refused_even_where_private_addresses_are_allowed(
    host: str, *, allow: bool
) -> None:
    with pytest.raises(Invalid, match=r"`external\.url`") as caught:
        check(f"https://{host}/v1", "1.1.1.1", allow=allow)
    assert caught.value.code == "private_address"
    assert "never allowed" in str(caught.value.hint)
    assert "allow_private_upstreams" not in str(caught.value.hint)


@pytest.mark.parametrize("allow", [False, True])
def test_a_name_that_leads_to_a_cloud_s_metadata_is_refused(*, allow: bool) -> None:
    with pytest.raises(Invalid, match=r"`a\.example\.com` is `169\.254\.169\.254`, which is an"):
        check("http://a.example.com/v1", "10.0.0.1", "169.254.169.254", allow=allow)


def test_a_credential_is_not_sent_for_all_to_read() -> None:
    check("http://api.example.com/v1", "93.184.216.34")
    with pytest.raises(Invalid, match="for all to read"):
        check("http://api.example.com/v1", "93.184.216.34", is_secret=True)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Invalid, "no host has the name"),
        (socket.gaierror(socket.EAI_AGAIN, "later"), Temporary, "does not answer"),
    ],
)
def test_a_name_that_nobody_knows_is_told_apart_from_a_name_service_that_is_away(
    error: OSError, kind: type[Exception], words: str
) -> None:
    def resolve(_host: str) -> Sequence[str]:
        raise error

    url, where = "https://api.example.com", "external.url"
    with pytest.raises(kind, match=words):
        check_address(url, where=where, is_secret=False, resolve=resolve)
    warning = check_address(url, where=where, is_secret=False, allow_private=True, resolve=resolve)
    assert warning is not None
    assert words in warning
    assert "`api.example.com`" in warning
    assert "requests fail until then" in warning


def test_a_name_service_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_RESOLVE_S", 0.01)
    read, write = socket.socketpair()

    def resolve(_host: str) -> Sequence[str]:
        read.recv(1)
        return ()

    with pytest.raises(Temporary, match="did not say within"):
        check_address(
            "https://api.example.com", where="external.url", is_secret=False, resolve=resolve
        )
    # Lets the thread that was left behind end.
    write.close()
    read.close()


def way_back(url: str, *names: str) -> None:
    def resolve(_host: str) -> Sequence[str]:
        if not names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return names

    check_no_way_back(url, 8470, where="external.url", resolve=resolve)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.1.1", "::1", "0.0.0.0"])
def test_a_name_that_leads_back_to_plinth_itself_is_always_refused(address: str) -> None:
    with pytest.raises(Invalid, match=r"`external\.url` is Plinth's own address"):
        way_back("http://gateway.example.com:8470/v1", "10.0.0.1", address)


def test_a_name_that_leads_elsewhere_or_to_another_port_is_not_our_own() -> None:
    way_back("http://gateway.example.com:8470/v1", "10.0.0.1")
    way_back("http://gateway.example.com:8471/v1", "127.0.0.1")
    way_back("http://nobody.example.com:8470/v1")
    way_back("http://10.0.0.1:8470/v1")
    with pytest.raises(Invalid):
        way_back("http://localhost:8470/v1")
