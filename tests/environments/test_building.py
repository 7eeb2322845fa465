"""Environments on disk, built by the real uv without packages, so without a network."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import uv

from plinth.environments import Environments, EnvironmentSpec, this_python
from plinth.environments.resolver import Uv
from plinth.kit.errors import Invalid
from plinth.kit.files import locked

_EMPTY = EnvironmentSpec((), this_python())


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "environments", uv.find_uv_bin())


def test_an_environment_is_built_once_and_found(environments: Environments) -> None:
    assert environments.find(_EMPTY.digest) is None
    built = environments.build(_EMPTY)
    marker = built.folder / "complete.json"
    written = marker.stat().st_mtime_ns
    assert environments.build(_EMPTY) == built == environments.find(_EMPTY.digest)
    assert marker.stat().st_mtime_ns == written
    assert json.loads(marker.read_text())["digest"] == _EMPTY.digest
    assert built.lock.read_text() == ""


def test_its_python_runs_after_the_rename(environments: Environments) -> None:
    built = environments.build(_EMPTY)
    code = "import sys; print(sys.prefix)"
    said = subprocess.run([built.python, "-c", code], capture_output=True, text=True, check=True)
    assert Path(said.stdout.strip()).resolve() == built.folder.resolve()


def test_without_its_marker_or_python_it_is_not_there_and_is_built_again(
    environments: Environments,
) -> None:
    built = environments.build(_EMPTY)
    (built.folder / "complete.json").unlink()
    (built.folder / "left").touch()
    assert environments.find(_EMPTY.digest) is None
    environments.build(_EMPTY)
    assert not (built.folder / "left").exists()
    built.python.unlink()
    assert environments.find(_EMPTY.digest) is None
    assert environments.build(_EMPTY).python.exists()


def test_leftovers_of_dead_builders_go_and_those_of_living_ones_stay(
    environments: Environments,
) -> None:
    environments.root.mkdir()
    dead = environments.root / f".building-{'a' * 64}.x"
    own = environments.root / f".building-{_EMPTY.digest}.x"
    living = environments.root / f".building-{'b' * 64}.x"
    for folder in (dead, own, living):
        (folder / "lib").mkdir(parents=True)
    with locked(environments.root / f".{'b' * 64}.lock"):
        environments.build(_EMPTY)
    assert not dead.exists()
    assert not own.exists()
    assert living.exists()


def test_a_failed_build_leaves_nothing(environments: Environments) -> None:
    with pytest.raises(Invalid, match="no such Python"):
        environments.build(EnvironmentSpec((), "3.99"))
    assert [path.name for path in environments.root.iterdir() if path.is_dir()] == []


def test_a_digest_is_not_a_path(environments: Environments) -> None:
    with pytest.raises(Invalid, match="is not a digest"):
        environments.find("../" + "a" * 61)


def test_the_folder_is_private(environments: Environments) -> None:
    environments.build(_EMPTY)
    assert os.stat(environments.root).st_mode & 0o777 == 0o700


def test_a_strangers_package_runs_none_of_its_code_while_it_is_built(
    environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was_run = tmp_path / "was-run"
    _wheel(
        tmp_path,
        {
            "evil.pth": f"import pathlib; pathlib.Path({str(was_run)!r}).touch()\n",
            "sitecustomize.py": f"import pathlib; pathlib.Path({str(was_run)!r}).touch()\n",
            "evil.py": "x = 1\n",
        },
    )
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    built = environments.build(EnvironmentSpec(("evil",), this_python()))
    assert not was_run.exists()
    assert list(built.folder.glob("lib/*/site-packages/__pycache__/evil.*.pyc"))


def test_compiling_processes_no_pth_file_even_with_the_environments_own_python(
    environments: Environments, tmp_path: Path
) -> None:
    built = environments.build(_EMPTY)
    (packages,) = built.folder.glob("lib/*/site-packages")
    was_run = tmp_path / "was-run"
    (packages / "evil.pth").write_text(f"import pathlib; pathlib.Path({str(was_run)!r}).touch()\n")
    (packages / "plain.py").write_text("x = 1\n")
    uv_ = Uv(Path(uv.find_uv_bin()), tmp_path)
    uv_.compile(built.python, built.folder / "lib")
    assert not was_run.exists()
    assert list(packages.glob("__pycache__/plain.*.pyc"))


def _wheel(folder: Path, files: dict[str, str]) -> None:
    """Write the wheel of a package `evil` with `files`, as anybody could upload it."""
    tag = "py3-none-any"
    about = "evil-1.dist-info"
    whole = {
        **files,
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    whole[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in (*whole, f"{about}/RECORD"))
    with zipfile.ZipFile(folder / f"evil-1-{tag}.whl", "w") as wheel:
        for name, content in whole.items():
            wheel.writestr(name, content)
