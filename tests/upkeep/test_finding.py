"""The record of one probe."""

from __future__ import annotations

from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.units.spec import UnitState
from plinth.upkeep.finding import Scene, failed, ok, skipped, warning


def test_only_what_does_not_hold_says_what_to_do() -> None:
    findings = [ok("a", "f"), warning("a", "f", "t"), failed("a", "f", "t"), skipped("a", "f")]
    assert [each.status for each in findings] == ["ok", "warning", "failed", "skipped"]
    assert [each.todo for each in findings] == [None, "t", "t", None]
    assert findings[1].to_json() == {"name": "a", "status": "warning", "fact": "f", "todo": "t"}


def test_a_scene_knows_what_runs(tmp_path) -> None:
    units = (UnitState("envoy", "running"), UnitState("mlflow", "starting"))
    scene = Scene(Home(tmp_path), {}, Settings(), {}, units=units)
    assert scene.was_started
    assert (scene.runs("envoy"), scene.runs("mlflow"), scene.runs("control")) == (
        True,
        False,
        False,
    )
