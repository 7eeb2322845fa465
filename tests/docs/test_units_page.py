"""The page on units lists every named point at which the kill journeys kill."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.kill_points import DEPLOYMENT_POINTS, ENDPOINT_POINTS, JOB_POINTS

PAGE = (Path(__file__).resolve().parents[2] / "docs/explanation/units.md").read_text()
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines()]


def test_the_points_are_those_of_the_journeys_with_their_processes() -> None:
    for points, columns in ((JOB_POINTS, 3), (DEPLOYMENT_POINTS, 4)):
        listed = {row[0]: row[-1] for row in ROWS if len(row) == columns}
        assert {p.name: ", ".join(p.own) for p in points}.items() <= listed.items()


def test_the_points_of_endpoints_are_listed_beside_those_of_their_deployments() -> None:
    listed = ", ".join(row[1] for row in ROWS if len(row) == 4)
    assert {point.name for point in ENDPOINT_POINTS} <= set(listed.split(", "))
