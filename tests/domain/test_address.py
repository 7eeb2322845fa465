"""An address is what it leads to, however it is written."""

from __future__ import annotations

import ipaddress

import pytest

from plinth.domain.address import check_not_ourselves, check_written, literal, why_private
from plinth.kit.errors import Invalid


def test_names_are_no_addresses() -> None:
    assert literal("api.example.com") is None
    assert literal("127.1") == ipaddress.ip_address("127.0.0.1")
    assert why_private(ipaddress.ip_address("8.8.8.8")) is None


@pytest.mark.parametrize(
    "host", ["127.1", "localhost", "10.1.2.3", "[::ffff:a00:1]", "169.254.169.254", "metadata"]
)
def test_what_is_written_out_is_refused_without_asking_anybody(host: str) -> None:
    with pytest.raises(Invalid, match=r"`external\.url`") as caught:
        check_written(f"https://{host}/v1", where="external.url", is_secret=False)
    assert caught.value.code == "private_address"


def test_a_name_is_let_pass_and_a_credential_is_not_sent_for_all_to_read() -> None:
    check_written("http://api.example.com/v1", where="external.url", is_secret=False)
    check_written("https://api.example.com/v1", where="external.url", is_secret=True)
    with pytest.raises(Invalid, match="for all to read"):
        check_written("http://api.example.com/v1", where="external.url", is_secret=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8470/v1",
        "http://localhost:8470/v1",
        "http://mlflow.localhost:8470",
        "http://[::1]:8470",
        "http://[::ffff:127.0.0.1]:8470",
        "http://2130706433:8470/v1",
        "http://0.0.0.0:8470/v1",
    ],
)
def test_an_endpoint_that_would_ask_itself_is_always_refused(url: str) -> None:
    with pytest.raises(Invalid, match="is Plinth's own address"):
        check_not_ourselves(url, 8470, where="external.url")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8471/v1", "https://api.openai.com/v1", "http://10.0.0.1:8470/v1"]
)
def test_other_addresses_are_not_our_own(url: str) -> None:
    check_not_ourselves(url, 8470, where="external.url")


def test_the_usual_ports_are_known() -> None:
    with pytest.raises(Invalid):
        check_not_ourselves("http://localhost/v1", 80, where="external.url")
