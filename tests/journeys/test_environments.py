"""Environments with real packages and real kills. Needs a package index (uv's cache will do)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from plinth.environments import Environments, EnvironmentSpec, this_python
from plinth.kit.errors import Invalid, Temporary
from tests.journeys.package_index import build_or_skip

_SPEC = EnvironmentSpec(("six",), this_python())
_BUILDER = """
import sys, uv
from pathlib import Path
from plinth.environments import Environments, EnvironmentSpec, this_python
print("started", flush=True)
said = []
Environments(Path(sys.argv[1]), uv.find_uv_bin()).build(
    EnvironmentSpec(("six",), this_python()), said.append)
print("built" if any("installing" in line for line in said) else "found", flush=True)
"""


@pytest.fixture
def environments() -> Iterator[Environments]:
    root = Path(tempfile.mkdtemp(prefix="pl-"))
    yield Environments(root / "environments", uv.find_uv_bin())
    shutil.rmtree(root, ignore_errors=True)


def _builder(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _BUILDER, str(root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_packages_are_locked_importable_and_compiled(environments: Environments) -> None:
    said: list[str] = []
    build_or_skip(environments, EnvironmentSpec((), this_python()))
    built = build_or_skip(environments, _SPEC, said.append)
    assert built.lock.read_text().startswith("six==")
    assert "://" not in built.lock.read_text()
    assert list(built.folder.glob("lib/python*/site-packages/__pycache__/six.*.pyc"))
    code = "import six; print(six.__file__)"
    ran = subprocess.run([built.python, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(str(built.folder))
    assert any("installing" in line for line in said)


def test_two_builders_do_the_work_once(environments: Environments) -> None:
    build_or_skip(environments, EnvironmentSpec((), this_python()))
    builders = [_builder(environments.root) for _ in range(2)]
    said = sorted(builder.communicate(timeout=120)[0].split()[-1] for builder in builders)
    if [builder.returncode for builder in builders] != [0, 0]:
        build_or_skip(environments, _SPEC)
    assert said == ["built", "found"]


def test_a_builder_killed_anywhere_leaves_no_half_environment(environments: Environments) -> None:
    reference = build_or_skip(environments, _SPEC)
    shutil.rmtree(reference.folder)
    for delay_s in (0.0, 0.05, 0.15, 0.3):
        builder = _builder(environments.root)
        assert builder.stdout is not None
        builder.stdout.readline()
        time.sleep(delay_s)
        builder.send_signal(signal.SIGKILL)
        builder.communicate()
        found = environments.find(_SPEC.digest)
        if found is not None:
            subprocess.run([found.python, "-c", "import six"], check=True)
            shutil.rmtree(found.folder)
    built = environments.build(_SPEC)
    subprocess.run([built.python, "-c", "import six"], check=True)
    assert not list(environments.root.glob(".building-*"))


def test_what_uv_cannot_install_is_refused_with_its_words(environments: Environments) -> None:
    build_or_skip(environments, _SPEC)
    with pytest.raises(Invalid) as none:
        environments.build(EnvironmentSpec(("six==0.0.0.1",), this_python()))
    assert "six==0.0.0.1" in none.value.message
    assert none.value.hint
    with pytest.raises(Invalid):
        environments.build(EnvironmentSpec(("six==1.16.0", "six==1.17.0"), this_python()))
    folders = [path for path in environments.root.iterdir() if path.is_dir()]
    assert [path.name for path in folders] == [_SPEC.digest]


def test_an_index_that_is_away_is_temporary(
    environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/packages")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(environments.root.parent / "cache"))
    with pytest.raises(Temporary, match="cannot fetch"):
        environments.build(_SPEC)
