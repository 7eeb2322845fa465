import stat

import pytest

from plinth.kit.files import locked, make_private, read_json, write_atomic, write_json


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_whole_and_is_private(tmp_path):
    file = tmp_path / "a.txt"
    write_atomic(file, b"old")
    write_atomic(file, b"new")
    assert file.read_bytes() == b"new"
    assert mode_of(file) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    file = tmp_path / "a"
    file.mkdir()
    (file / "kept").write_text("kept")
    with pytest.raises(IsADirectoryError):
        write_atomic(file, b"new")
    assert (file / "kept").read_text() == "kept"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_json_survives_being_written(tmp_path):
    file = tmp_path / "a.json"
    assert read_json(file) is None
    write_json(file, {"name": "ä", "sizes": [1, 2]})
    assert read_json(file) == {"name": "ä", "sizes": [1, 2]}


def test_a_folder_is_made_private_with_its_parents_and_again(tmp_path):
    folder = make_private(tmp_path / "a" / "b")
    assert mode_of(folder) == 0o700
    folder.chmod(0o755)
    assert mode_of(make_private(folder)) == 0o700


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    file = tmp_path / "lock"
    with locked(file) as first:
        assert first
        with locked(file, wait=False) as second:
            assert not second
    with locked(file, wait=False) as third:
        assert third
