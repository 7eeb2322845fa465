"""Every promise is tried; one probe that breaks does not hide the others."""

from __future__ import annotations

import json

from plinth import __version__
from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.upkeep.doctor import PROBES, examine, set_scene
from plinth.upkeep.finding import Finding, Scene, failed, ok, warning
from plinth.upkeep.probes import parts, place, records
from tests.upkeep.stand import PORT, full_home, new_place

CHEAP = (*place.PROBES, *records.PROBES, *parts.PROBES)


def well(_scene: Scene) -> Finding:
    return ok("well", "it is")


def broken(_scene: Scene) -> Finding:
    return failed("broken", "it is", "mend it")


def late(_scene: Scene) -> Finding:
    return warning("late", "it is", "hurry")


def probe_that_breaks(_scene: Scene) -> Finding:
    raise OSError(5, "Input/output error")


def test_findings_come_in_order_and_only_failures_count() -> None:
    said: list[str] = []
    home = Home(new_place())
    found = examine(home, (well, late), report=lambda step, *_: said.append(step))
    assert (found["ok"], found["version"], found["home"]) == (True, __version__, str(home.root))
    assert [each["name"] for each in found["findings"]] == ["well", "late"]
    assert examine(home, (well, broken))["ok"] is False
    assert said == ["probing: well", "probing: late"]


def test_a_probe_that_breaks_is_a_finding() -> None:
    found = examine(Home(new_place()), (probe_that_breaks, well))
    first, second = found["findings"]
    assert (first["name"], first["status"]) == ("that breaks", "failed")
    assert "Input/output error" in first["fact"]
    assert second["status"] == "ok"


def test_a_home_that_was_never_started_changes_by_nothing() -> None:
    home = Home(new_place())
    findings = {each["name"]: each for each in examine(home, CHEAP)["findings"]}
    assert len(findings) == len(CHEAP)
    assert {each["status"] for each in findings.values()} <= {"ok", "skipped", "failed"}
    assert not home.root.exists()


def test_a_home_of_which_everything_is_down_says_so() -> None:
    with full_home() as plane:
        plane.home.root.chmod(0o700)
        found = examine(plane.home, CHEAP)
    states = {each["name"]: each["status"] for each in found["findings"]}
    assert states["node agent"] == "failed"
    assert states["control plane"] == "skipped"
    assert states["store"] == "ok"
    assert not found["ok"]
    assert json.loads(json.dumps(found)) == found


def test_the_scene_is_set_whatever_is_wrong() -> None:
    with full_home() as plane:
        assert set_scene(plane.home).node == {"port": PORT, "address": f"http://127.0.0.1:{PORT}"}
        assert set_scene(plane.home).settings.trace_days == 7
        plane.home.node_file.write_text("{")
        (plane.home.root / "settings.toml").write_text("nonsense")
        scene = set_scene(plane.home)
    assert scene.was_started
    assert (scene.settings, scene.agent, scene.units) == (Settings(), None, ())


def test_every_probe_says_in_its_first_line_what_it_does() -> None:
    for probe in PROBES:
        assert probe.__name__.startswith("probe_")
        assert str(probe.__doc__).splitlines()[0].endswith(".")
