"""The node shows how its parts stand, also when they are down."""

from __future__ import annotations

import pytest

from plinth import __version__
from tests.api.service import Service, error_of


def test_the_version_is_shown_to_anybody_with_a_key(service: Service) -> None:
    assert service.call(service.caller(), "GET", "/version").json() == {"version": __version__}


def test_the_gateway_needs_no_key_to_ask_whether_a_control_plane_answers(service: Service) -> None:
    assert service.client.get("/health").json() == {"status": "ok"}


def test_the_status_says_what_is_down_and_never_fails(service: Service) -> None:
    seen = service.as_admin("GET", "/status", params={"memory": True})
    assert (seen["node"], seen["units"]) == (None, [])
    assert seen["agent_error"]
    assert seen["gateway"] == {"ready": False, "version": None}
    assert seen["tracking"] == {"ready": False, "state": "waiting"}


def test_what_a_unit_printed_is_read_from_an_offset(service: Service) -> None:
    folder = service.plane.home.units / "control"
    folder.mkdir()
    (folder / "log").write_bytes(b"one\ntwo\n")
    path = "/units/control/logs"
    answer = service.call(service.admin, "GET", path, params={"offset": 4})
    assert (answer.content, answer.headers["x-plinth-next-offset"]) == (b"two\n", "8")


@pytest.mark.parametrize("unit", ["absent", "..", "%2e%2e", "a%2Fb", ".lock"])
def test_a_unit_that_is_none_is_not_found(service: Service, unit: str) -> None:
    answer = service.call(service.admin, "GET", f"/units/{unit}/logs")
    assert answer.status_code in (400, 404)
    error_of(answer)
