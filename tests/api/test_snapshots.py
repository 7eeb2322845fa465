"""Uncommitted differences are kept under their digest, each team's for itself."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.api import snapshots
from plinth.domain.access import Role
from plinth.kit.ids import digest_of
from tests.api.service import OTHER, TEAM, Service, error_of

DIFF = b"diff --git a/x.py b/x.py\n<script>\n"
COMMIT = "a" * 40
JOB = {"kind": "job", "name": "train", "team": TEAM, "command": ["python"]}


def put(service: Service, digest: str = digest_of(DIFF), team: str = TEAM) -> Any:
    options = {"params": {"team": team}, "content": DIFF}
    return service.call(service.admin, "PUT", f"/diffs/{digest}", **options)


def test_a_difference_comes_back_as_it_was_and_is_no_page(service: Service) -> None:
    digest = digest_of(DIFF)
    assert put(service).json() == {"digest": digest, "uploaded": True}
    assert put(service).json() == {"digest": digest, "uploaded": False}
    options = {"params": {"team": TEAM}}
    answer = service.call(service.caller(Role.VIEWER), "GET", f"/diffs/{digest}", **options)
    assert answer.content == DIFF
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_another_teams_difference_and_none_are_told_alike(service: Service) -> None:
    put(service)
    for team, digest in ((OTHER, digest_of(DIFF)), (TEAM, "0" * 64), (TEAM, "..")):
        answer = service.call(
            service.caller(Role.VIEWER, TEAM), "GET", f"/diffs/{digest}", params={"team": team}
        )
        assert answer.status_code == 404, answer.text


def test_a_wrong_digest_and_too_much_are_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert digest_of(DIFF) in error_of(put(service, "0" * 64))["message"]
    assert put(service, team="absent").status_code == 404
    monkeypatch.setattr(snapshots, "MOST_DIFF_BYTES", 5)
    assert put(service).status_code == 413


def test_a_run_says_where_its_code_came_from(service: Service) -> None:
    put(service)
    code = {"commit": COMMIT, "branch": "main", "diff_digest": digest_of(DIFF)}
    run = service.as_admin("POST", "/runs", json={"workload": JOB, "code": code})
    shown = service.as_admin("GET", f"/runs/{run['id']}")["code"]
    assert shown == {**code, "remote": None, "note": None}


def test_a_run_cannot_name_a_difference_that_was_not_uploaded(service: Service) -> None:
    body = {"workload": JOB, "code": {"commit": COMMIT, "diff_digest": digest_of(DIFF)}}
    answer = service.call(service.admin, "POST", "/runs", json=body)
    assert (answer.status_code, "was not uploaded" in answer.text) == (400, True)
    for code in ({"commit": "HEAD"}, {"commit": COMMIT, "diff_digest": "../x"}, {}):
        answer = service.call(service.admin, "POST", "/runs", json={"workload": JOB, "code": code})
        assert answer.status_code == 422
