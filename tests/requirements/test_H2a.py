"""H2a: traceability: version, who deployed it, when, data lineage; of any response.

What holds today: all of it but the approver, who is nobody's before approvals exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from plinth.domain.access import Role
from tests.api.service import OTHER, Service, error_of, make_service
from tests.control.test_lineage import CODE, trained

RESPONSE = "0f3c2b1a-0000-4000-8000-000000000001"
DAY_S = 86400


@pytest.fixture
def service() -> Iterator[Service]:
    """A job trained a model on a data version; it is deployed, and answered a request."""
    with make_service() as service:
        trained(service.plane, parameters={"lr": "0.1"})
        run = service.plane.apply().deployment
        service.plane.until(lambda: service.plane.serves(run))
        service.plane.respond(RESPONSE, replica=0)
        yield service


def trace(service: Service) -> Any:
    return service.as_admin("GET", f"/trace/{RESPONSE}")


def test_a_response_leads_to_version_code_data_and_people(service: Service) -> None:
    found = trace(service)
    run = service.plane.run(found["deployment"])
    assert (found["model"]["name"], found["model"]["version"]) == ("m", 1)
    assert found["unit"] == f"{run.id}.0.1"
    assert found["deployed_by"]["name"] == "admin"
    assert datetime.fromisoformat(found["deployed_at"]) == run.created_at
    assert found["approved_by"] is None
    lineage = found["lineage"]
    assert lineage["code"]["commit"] == CODE.commit
    assert lineage["parameters"] == {"lr": "0.1"}
    (data,) = lineage["data"].values()
    assert (data["name"], data["version"]) == ("flights", 1)
    assert len(data["digest"]) == 64


def test_what_is_deployed_next_does_not_change_what_answered_before(service: Service) -> None:
    before = trace(service)
    service.plane.tracking.add_model("research", "m", ("champion",))
    run = service.plane.apply().deployment
    service.plane.until(lambda: service.plane.serves(run))
    assert trace(service) == before
    assert datetime.fromisoformat(before["deployed_at"]) < service.plane.run(run).created_at


def test_who_may_not_read_the_endpoint_is_told_of_no_response(service: Service) -> None:
    outsider = service.caller(Role.CONTRIBUTOR, OTHER)
    answer = service.call(outsider, "GET", f"/trace/{RESPONSE}")
    assert answer.status_code == 404
    assert f"there is no response `{RESPONSE}`" in error_of(answer)["message"]


def test_a_response_older_than_is_kept_is_said_to_be(service: Service) -> None:
    service.plane.clock.advance(31 * DAY_S)
    answer = service.call(service.admin, "GET", f"/trace/{RESPONSE}")
    assert answer.status_code == 404
    assert "last 30 days" in error_of(answer)["message"]
