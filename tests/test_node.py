"""What can be told of the node's start without starting one; tests/journeys start one."""

import shutil
import tempfile
from pathlib import Path

import pytest

from plinth.kit.errors import Invalid, Temporary
from plinth.kit.home import Home
from plinth.node import control_planes, up


def settings(home: Path, *lines: str) -> Home:
    (home / "db").mkdir(exist_ok=True)
    (home / "settings.toml").write_text("\n".join(lines) + "\n")
    return Home(home)


def test_a_node_has_one_control_plane_unless_its_settings_say_more(tmp_path: Path) -> None:
    assert control_planes(settings(tmp_path)) == ("control",)
    assert Home.control_planes(3) == ("control", "control-2", "control-3")


def test_several_control_planes_are_refused_with_sqlite(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="`control_planes` is 2; with SQLite only 1") as caught:
        control_planes(settings(tmp_path, "control_planes = 2"))
    assert "docs/howto/postgresql.md" in str(caught.value.hint)


def test_a_database_that_does_not_answer_stops_the_start(tmp_path: Path) -> None:
    line = 'database = "postgresql://ann:s3cret@127.0.0.1:1/plinth"'
    with pytest.raises(Temporary, match="does not answer") as caught:
        control_planes(settings(tmp_path, line))
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


def test_a_full_disk_stops_the_start_and_says_how_much_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = Path(tempfile.mkdtemp(prefix="pl-"))
    usage = shutil.disk_usage(home)._replace(free=300_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(Temporary, match=r"300 kB are free .* needs 33.6 MB to start") as caught:
        up(Home(home), None)
    assert caught.value.code == "disk_full"
