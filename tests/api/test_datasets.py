"""Versions of data are made from bytes, and looked at."""

from __future__ import annotations

import pytest

from plinth.domain.access import Role
from plinth.kit.ids import digest_of
from tests.api.service import CSV, OTHER, TEAM, Service, error_of


def test_a_file_becomes_a_version_with_rows_columns_and_digest(service: Service) -> None:
    version = service.add_data()
    assert (version["version"], version["rows"], version["added"]) == (1, 2, True)
    assert [column["name"] for column in version["columns"]] == ["a", "b"]
    assert version["digest"] == digest_of(CSV)
    assert version["uri"].endswith(f"/data/{TEAM}/flights/{version['digest']}/flights.csv")
    path = service.plane.home.storage / version["uri"].split("/storage/")[1]
    assert path.read_bytes() == CSV


def test_the_same_bytes_are_the_same_version(service: Service) -> None:
    first = service.add_data()
    again = service.add_data()
    assert (again["version"], again["added"]) == (1, False)
    assert service.add_data(content=b"a,b\n3,z\n")["version"] == 2
    assert first["uri"] == again["uri"]
    assert len(service.as_admin("GET", "/data")) == 2


def test_two_teams_have_their_own_versions(service: Service) -> None:
    service.add_data()
    assert service.add_data(team=OTHER)["version"] == 1
    key = service.caller(Role.VIEWER, OTHER)
    assert [v["team"] for v in service.call(key, "GET", "/data").json()] == [OTHER]


def test_the_newest_version_is_shown_unless_one_is_named(service: Service) -> None:
    service.add_data()
    service.add_data(content=b"a,b\n3,z\n")
    path, team = "/data/flights", {"team": TEAM}
    assert service.as_admin("GET", path, params=team)["version"] == 2
    assert service.as_admin("GET", path, params={**team, "version": 1})["version"] == 1
    answer = service.call(service.admin, "GET", path, params={**team, "version": 9})
    assert (answer.status_code, "flights@9" in answer.text) == (404, True)


@pytest.mark.parametrize(
    ("file_name", "content", "words"),
    [
        ("a.xlsx", b"x", "no data file"),
        ("a.parquet", b"no parquet", "cannot be read as parquet"),
        ("a.csv", b"", "is empty"),
        ("../a.csv", CSV, "is not accepted"),
        (".csv", CSV, "is not accepted"),
        ("a b.csv", CSV, "is not accepted"),
    ],
)
def test_what_is_no_data_file_is_refused(
    service: Service, file_name: str, content: bytes, words: str
) -> None:
    params = {"file_name": file_name, "team": TEAM}
    answer = service.call(service.admin, "PUT", "/data/a", params=params, content=content)
    assert answer.status_code == 400
    assert words in error_of(answer)["message"]
    assert service.as_admin("GET", "/data") == []


def test_a_team_that_is_absent_gets_no_data(service: Service) -> None:
    params = {"file_name": "a.csv", "team": "nobody"}
    answer = service.call(service.admin, "PUT", "/data/a", params=params, content=CSV)
    assert (answer.status_code, "nobody" in answer.text) == (404, True)
    assert not (service.plane.home.storage / "data").exists()


def test_models_are_those_of_the_teams_one_may_see(service: Service) -> None:
    service.plane.tracking.add_model(TEAM, "delay", ("champion",))
    service.plane.tracking.add_model(OTHER, "secret")
    shown = service.call(service.caller(Role.VIEWER), "GET", "/models").json()
    assert [(model["name"], model["aliases"]) for model in shown] == [("delay", ["champion"])]


def test_what_changed_between_two_versions_is_said(service: Service) -> None:
    service.add_data()
    service.add_data(content=b"b,c\nx,1\ny,2\nz,3\n")
    options = {"params": {"team": TEAM, "version": 1, "to": "flights@2"}}
    change = service.as_admin("GET", "/data/flights/diff", **options)
    assert [column["name"] for column in change["added"]] == ["c"]
    assert [column["name"] for column in change["removed"]] == ["a"]
    assert (change["rows"], change["same_bytes"]) == (1, False)


@pytest.mark.parametrize("path", ["/data/flights", "/data/flights/diff", "/lineage/data/flights"])
def test_data_of_another_team_is_named_to_who_may_read_it(service: Service, path: str) -> None:
    service.add_data()

    def hint(key: str, version: int) -> str:
        params = {"version": version, "to": "flights"}
        answer = service.call(key, "GET", path, params=params)
        assert answer.status_code == 404
        return str(error_of(answer)["hint"])

    assert hint(service.admin, 1) == f"`--team {TEAM}` has one"
    assert hint(service.admin, 2) == "`plinth data` lists all"
    assert hint(service.caller(Role.ADMIN, OTHER), 1) == "`plinth data` lists all"
