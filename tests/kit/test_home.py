import os
import stat
import tempfile
from pathlib import Path

import pytest

from plinth.kit.errors import Invalid
from plinth.kit.home import SOCKET_PATH_BYTES, Home, find_home


@pytest.fixture
def short_folder():
    with tempfile.TemporaryDirectory(prefix="pl-") as folder:
        yield Path(folder)


def test_the_chosen_folder_wins_over_the_environment_and_the_default(short_folder):
    environment = {"PLINTH_HOME": "/srv/plinth"}
    assert find_home(environment, short_folder).root == short_folder
    assert find_home(environment).root == Path("/srv/plinth")
    assert find_home({}).root == Path.home() / ".plinth"
    assert find_home({"PLINTH_HOME": ""}).root == Path.home() / ".plinth"


def test_a_relative_folder_becomes_absolute_and_a_tilde_is_read():
    assert find_home({}, Path("x")).root == Path.cwd() / "x"
    assert find_home({"PLINTH_HOME": "~/p"}).root == Path.home() / "p"


def test_every_folder_is_made_private_and_again(short_folder):
    home = Home(short_folder / "home")
    home.prepare()
    home.prepare()
    for folder in home.folders():
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_every_path_lies_below_the_root(short_folder):
    home = Home(short_folder)
    paths = [value for name in vars(Home) if isinstance(value := getattr(home, name), Path)]
    assert len(paths) > 10
    assert all(path.is_relative_to(home.root) for path in paths)


def test_a_folder_too_long_for_sockets_is_refused_with_the_room(short_folder):
    home = Home(short_folder / ("x" * 90))
    for name in ("a\x1fb", "a\nb"):
        with pytest.raises(Invalid, match="cannot be printed"):
            Home(short_folder / name).prepare()
    with pytest.raises(Invalid, match="Unix sockets below it allow") as caught:
        home.prepare()
    assert "--home" in (caught.value.hint or "")
    assert not home.root.exists()


def test_the_longest_accepted_root_leaves_room_for_a_unit_s_socket(short_folder):
    room = SOCKET_PATH_BYTES - 40 - len("/run/")
    root = short_folder / ("x" * (room - len(os.fsencode(short_folder)) - 1))
    home = Home(root)
    home.prepare()
    assert len(os.fsencode(home.socket("r_0123456789.15.99"))) <= SOCKET_PATH_BYTES


def test_a_folder_that_cannot_be_made_is_refused_with_the_next_step(short_folder):
    (short_folder / "file").write_text("")
    with pytest.raises(Invalid, match="cannot be written") as caught:
        Home(short_folder / "file" / "home").prepare()
    assert "choose a folder that you own" in (caught.value.hint or "")
