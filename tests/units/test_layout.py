"""The new root shows each path as it is spelled, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.units.isolation.layout import plan, readable


@pytest.fixture
def place(tmp_path: Path) -> Path:
    root = tmp_path.resolve()
    (root / "real" / "inner").mkdir(parents=True)
    (root / "other").mkdir()
    (root / "link").symlink_to("real")
    return root


def test_a_path_through_a_link_shows_the_link_and_what_it_means(place: Path) -> None:
    layout = plan([f"{place}/link/inner"], [])
    assert layout.links == {f"{place}/link": "real"}
    assert layout.binds == {f"{place}/real/inner": False}


def test_a_path_below_a_shown_one_is_not_repeated(place: Path) -> None:
    assert plan([f"{place}/real/inner", f"{place}/real"], []).binds == {f"{place}/real": False}


def test_a_writable_path_below_a_readable_one_is_shown_again(place: Path) -> None:
    layout = plan([f"{place}/real"], [f"{place}/real/inner"])
    assert layout.binds == {f"{place}/real": False, f"{place}/real/inner": True}


def test_a_readable_path_below_a_writable_one_needs_nothing(place: Path) -> None:
    assert plan([f"{place}/real/inner"], [f"{place}/real"]).binds == {f"{place}/real": True}


def test_what_is_asked_for_both_ways_is_writable(place: Path) -> None:
    assert plan([f"{place}/real"], [f"{place}/real"]).binds == {f"{place}/real": True}


def test_links_inside_a_shown_folder_are_there_already(place: Path) -> None:
    layout = plan([str(place), f"{place}/link/inner"], [])
    assert layout.links == {}
    assert layout.binds == {str(place): False}


def test_missing_paths_and_circles_are_left_out(place: Path) -> None:
    (place / "circle").symlink_to("circle")
    assert plan([f"{place}/missing", f"{place}/circle"], []).binds == {}


def test_a_path_may_go_up(place: Path) -> None:
    assert plan([f"{place}/real/../other"], []).binds == {f"{place}/other": False}


def test_secrets_of_the_machine_are_on_no_list() -> None:
    paths = readable()
    assert "/" not in paths
    assert "/etc" not in paths
    assert not any("shadow" in path or "ssh" in path for path in paths)
