"""Traces and lineage over HTTP: who may see what, and bad input."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.access import Grant, Role
from plinth.store.identities import add_grant
from tests.api.service import LONELY, OTHER, TEAM, Service, error_of
from tests.control.test_lineage import trained


def serving(service: Service) -> str:
    plane = service.plane
    run = plane.apply().deployment
    plane.until(lambda: plane.serves(run))
    return run


def test_applying_keeps_what_the_model_came_from(service: Service) -> None:
    job, _ = trained(service.plane, parameters={"lr": "0.1"})
    body = {"kind": "endpoint", "name": "delay", "team": TEAM, "model": "models:/m@champion"}
    run = service.as_admin("PUT", "/endpoints/delay", json=body)["deployment"]
    lineage = service.as_admin("GET", f"/runs/{run}")["lineage"]
    assert (lineage["run"], lineage["parameters"]) == (job, {"lr": "0.1"})


def test_who_may_read_the_endpoint_may_trace_and_others_are_told_nothing(service: Service) -> None:
    run = serving(service)
    service.plane.respond("one")
    reader = service.caller(Role.VIEWER, TEAM)
    assert service.call(reader, "GET", "/trace/one").json()["deployment"] == run
    assert service.call(reader, "GET", "/trace/ONE").json()["deployment"] == run
    stranger = service.caller(Role.ADMIN, OTHER)
    answer = service.call(stranger, "GET", "/trace/one")
    absent = service.call(stranger, "GET", "/trace/two")
    assert answer.status_code == absent.status_code == 404
    assert answer.text.replace("one", "two") == absent.text
    with service.plane.write() as connection:
        principal = service.actor(stranger).principal.id
        grant = Grant(role=Role.VIEWER, principal=principal, team=TEAM, resource="endpoint/delay")
        add_grant(connection, grant, created_by="admin", now=service.plane.clock.now())
    assert service.call(stranger, "GET", "/trace/one").status_code == 200


def test_who_got_the_response_may_trace_it(service: Service) -> None:
    serving(service)
    caller = service.principal(None, home_team=LONELY)
    service.plane.respond("one", principal=caller.id, team=LONELY)
    service.plane.respond("two")
    key = service.key_of(caller)
    assert service.call(key, "GET", "/trace/one").json()["called_by"]["id"] == caller.id
    assert service.call(key, "GET", "/trace/two").status_code == 404


def test_who_only_got_the_response_is_not_told_where_the_models_files_are(
    service: Service,
) -> None:
    serving(service)
    caller = service.principal(None, home_team=LONELY)
    service.plane.respond("one", principal=caller.id, team=LONELY)
    reader = service.call(service.caller(Role.VIEWER, TEAM), "GET", "/trace/one").json()["model"]
    model = service.call(service.key_of(caller), "GET", "/trace/one").json()["model"]
    assert reader["artifact_uri"]
    assert model == {name: reader[name] for name in reader.keys() - {"artifact_uri"}}
    assert {"name", "version"} < model.keys()


def test_a_response_of_a_deployment_that_is_gone_is_told_to_who_reads_all(
    service: Service,
) -> None:
    serving(service)
    service.plane.respond("one", run="r_gone")
    answer = service.call(service.admin, "GET", "/trace/one")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "trace_expired")
    answer = service.call(service.caller(Role.ADMIN, TEAM), "GET", "/trace/one")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")


def test_lineage_shows_only_what_the_caller_may_read(service: Service) -> None:
    job, _ = trained(service.plane)
    run = serving(service)
    options: dict[str, Any] = {"params": {"team": TEAM, "alias": "champion"}}
    whole = service.as_admin("GET", "/lineage/models/m", **options)
    assert (whole["came_from"]["run"], whole["deployments"][0]["run"]) == (job, run)
    key = service.caller()
    with service.plane.write() as connection:
        for resource in ("model/m", "data/flights"):
            principal = service.actor(key).principal.id
            grant = Grant(role=Role.VIEWER, principal=principal, team=TEAM, resource=resource)
            add_grant(connection, grant, created_by="admin", now=service.plane.clock.now())
    assert service.call(key, "GET", "/lineage/models/m", **options).json()["deployments"] == []
    options = {"params": {"team": TEAM}}
    assert service.as_admin("GET", "/lineage/data/flights", **options)["runs"][0]["run"] == job
    shown = service.call(key, "GET", "/lineage/data/flights", **options).json()
    assert (shown["runs"], shown["deployments"]) == ([], [])


def may_read(service: Service, *resources: str) -> str:
    """Return the key of somebody who may read these things of the team, and nothing else."""
    holder = service.principal()
    with service.plane.write() as connection:
        for resource in resources:
            grant = Grant(role=Role.VIEWER, principal=holder.id, team=TEAM, resource=resource)
            add_grant(connection, grant, created_by="admin", now=service.plane.clock.now())
    return service.key_of(holder)


def test_models_are_shown_to_who_may_read_them_as_well(service: Service) -> None:
    trained(service.plane)
    options: dict[str, Any] = {"params": {"team": TEAM}}
    for resources, names in ((("data/flights",), []), (("data/flights", "model/m"), ["m"])):
        key = may_read(service, *resources)
        shown = service.call(key, "GET", "/lineage/data/flights", **options).json()
        assert [model["name"] for model in shown["models"]] == names


def test_data_is_only_named_to_who_may_not_read_it(service: Service) -> None:
    trained(service.plane)
    run = serving(service)
    service.plane.respond("one")
    model: dict[str, Any] = {"params": {"team": TEAM, "alias": "champion"}}

    def shown(*resources: str) -> list[Any]:
        key = may_read(service, "model/m", "endpoint/delay", *resources)
        return [
            service.call(key, "GET", "/trace/one").json()["lineage"]["data"]["in"],
            service.call(key, "GET", "/lineage/models/m", **model).json()["came_from"]["data"][
                "in"
            ],
            service.call(key, "GET", f"/runs/{run}").json()["lineage"]["data"]["in"],
        ]

    hidden = {"uri", "file_name", "columns"}
    for whole, named in zip(shown("data/flights"), shown(), strict=True):
        assert hidden < whole.keys()
        assert {name: whole[name] for name in whole.keys() - hidden} == named
        assert {"name", "version", "digest", "rows", "size_bytes"} < named.keys()


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/trace/" + "x" * 5000, {}, 404),
        ("/trace/%00", {}, 404),
        ("/lineage/models/m", {}, 400),
        ("/lineage/models/m", {"alias": "champion", "version": 1}, 400),
        ("/lineage/models/m", {"alias": "../x"}, 400),
        ("/lineage/models/m", {"version": 0}, 422),
        ("/lineage/models/m", {"version": 10**10}, 422),
        ("/lineage/models/m", {"version": 2 * 10**9}, 400),
        ("/lineage/models/absent", {"version": 1}, 404),
        ("/lineage/data/absent", {}, 404),
        ("/lineage/data/flights", {"version": 7}, 404),
        ("/data/flights/diff", {"to": "flights@7"}, 404),
        ("/data/flights/diff", {"to": "X@@"}, 400),
        ("/data/flights/diff", {}, 422),
    ],
)
def test_bad_input_is_said(service: Service, path: str, params: Any, status: int) -> None:
    service.add_data()
    answer = service.call(service.admin, "GET", path, params={"team": TEAM, **params})
    assert answer.status_code == status, answer.text
    error_of(answer)
