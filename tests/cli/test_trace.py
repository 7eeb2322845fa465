"""Traces and lineage as trees for people and JSON for programs."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.cli import trace
from plinth.domain.model import CodeOrigin
from plinth.kit.ids import digest_of
from tests.api.service import TEAM
from tests.cli.terminal import Terminal
from tests.control import test_lineage
from tests.control.plane import Plane
from tests.control.test_lineage import trained

ONE = "0a1b2c3d-1111-4222-8333-0123456789ab"
DIFF = b"diff --git a/x.py b/x.py\n+two\n"


@pytest.fixture
def plane(terminal: Terminal) -> Plane:
    return terminal.service.plane


def serve(plane: Plane, response_id: str = ONE) -> str:
    run = plane.apply().deployment
    plane.until(lambda: plane.serves(run))
    plane.respond(response_id, replica=0)
    return run


def upload(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next job come from a work tree with a difference."""
    path = f"/diffs/{digest_of(DIFF)}"
    terminal.service.as_admin("PUT", path, params={"team": TEAM}, content=DIFF)
    code = CodeOrigin(commit="a" * 40, branch="main", diff_digest=digest_of(DIFF))
    monkeypatch.setattr(test_lineage, "CODE", code)


def test_a_response_is_a_tree_for_people(
    terminal: Terminal, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(terminal, monkeypatch)
    job, _ = trained(plane, parameters={"lr": "0.1\nx"}, metrics={"auc": 0.912345678})
    run = serve(plane)
    said = terminal("trace", ONE)
    assert (said.code, said.err) == (0, "")
    for words in (
        f"response {ONE}, answered 2026-01-01",
        "called by admin (admin) of team default",
        f"endpoint delay of team {TEAM}",
        f"served by unit {run}.0.1",
        f"deployment {run}, by admin (admin) of team default at 2026-01-01",
        "no approval was asked",
        "model m version 1, asked for as models:/m@champion",
        f"job run {job}, by admin",
        f"commit {'a' * 40}",
        "branch main",
        f"uncommitted {digest_of(DIFF)}",
        "data in: flights@1 (1 rows, digest 111111111111)",
        "parameter lr = 0.1 x",
        "metric auc = 0.912346",
    ):
        assert words in said.out, words


def test_a_trace_is_json_for_programs_and_the_difference_as_it_was(
    terminal: Terminal, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(terminal, monkeypatch)
    trained(plane)
    run = serve(plane)
    found = terminal("trace", ONE, "--json").json
    assert (found["unit"], found["approved_by"]) == (f"{run}.0.1", None)
    assert found["lineage"]["code"]["diff_digest"] == digest_of(DIFF)
    assert terminal("trace", ONE, "--diff").out.encode() == DIFF
    assert "one of `--diff` and `--json`" in terminal("trace", ONE, "--diff", "--json").err


def test_what_is_not_known_is_said(terminal: Terminal, plane: Plane) -> None:
    absent = terminal("trace", ONE)
    assert (absent.code, f"there is no response `{ONE}`" in absent.err) == (1, True)
    serve(plane)
    said = terminal("trace", ONE).out
    assert "no job of Plinth is known to have logged it" in said
    assert "nobody knows the commit" in terminal("trace", ONE, "--diff").err


def test_an_id_may_be_copied_with_blanks_and_in_upper_case(
    terminal: Terminal, plane: Plane
) -> None:
    serve(plane)
    assert terminal("trace", f" {ONE.upper()}\n", "--json").json["id"] == ONE


def test_what_is_no_id_is_said_without_asking(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No address, so whoever asks fails otherwise.
    monkeypatch.setattr(trace, "connect", None)
    for wrong in ("nothing", "r_abc123", ONE[:-1], f"{ONE}0"):
        said = terminal("trace", wrong)
        assert (said.code, f"there is no response `{wrong}`" in said.err) == (1, True)
    assert f"`{'x' * 60}`" in terminal("trace", "x" * 5000).err


def test_a_commit_without_a_difference_has_none_to_print(terminal: Terminal, plane: Plane) -> None:
    trained(plane)
    serve(plane)
    assert "uncommitted nothing" in terminal("trace", ONE).out
    assert "everything was committed" in terminal("trace", ONE, "--diff").err


def test_many_values_are_cut_for_people(terminal: Terminal, plane: Plane) -> None:
    trained(plane, parameters={f"p{number:02}": "x" * 100 for number in range(30)})
    serve(plane)
    said = terminal("trace", ONE).out
    assert f"parameter p00 = {'x' * 60}..." in said
    assert "and 10 more" in said
    assert len(terminal("trace", ONE, "--json").json["lineage"]["parameters"]) == 30


@pytest.mark.parametrize("reference", ["m@champion", "m@1", "m/1", "models:/m@champion"])
def test_a_model_is_a_tree_both_ways(terminal: Terminal, plane: Plane, reference: str) -> None:
    job, _ = trained(plane)
    run = serve(plane)
    said = terminal("lineage", "model", reference, "--team", TEAM).out
    for words in (
        "model m version 1",
        f"job run {job}",
        "in 1 deployment",
        f"endpoint delay, run {run}, version 1: serves, applied",
    ):
        assert words in said, words
    found: Any = terminal("lineage", "model", reference, "--team", TEAM, "--json").json
    assert found["came_from"]["run"] == job


def test_data_is_a_tree_of_what_came_of_it(terminal: Terminal, plane: Plane) -> None:
    job, _ = trained(plane)
    run = serve(plane)
    said = terminal("lineage", "data", "flights@1", "--team", TEAM).out
    for words in (
        "flights@1 (1 rows",
        "read by 1 run",
        f"run {job} of job train: succeeded",
        "in 1 model version",
        "m version 1",
        f"run {run}",
    ):
        assert words in said, words
    found = terminal("lineage", "data", "flights", "--team", TEAM, "--json").json
    assert found["runs"][0]["run"] == job


def test_what_is_no_reference_is_said(terminal: Terminal) -> None:
    assert "write `NAME@ALIAS` or `NAME@3`" in terminal("lineage", "model", "m").err
    assert "is not a data version" in terminal("lineage", "data", "X@@").err
    assert terminal("lineage").code == 2
