"""Packages installed without what they depend on, or left out, from wheels in a folder."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest
import uv

from plinth.environments import Environments, EnvironmentSpec, this_python
from plinth.environments.requirement import name_of
from plinth.kit.errors import Invalid


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environments:
    """Give environments whose index is a folder: `holder` needs `unbuilt`, which has no wheel."""
    wheel(tmp_path, "holder", "1.0", requires="unbuilt>=1")
    wheel(tmp_path, "user", "1.0", requires="base")
    wheel(tmp_path, "base", "1.0")
    wheel(tmp_path, "base", "2.0")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return Environments(tmp_path / "environments", uv.find_uv_bin())


def wheel(folder: Path, name: str, version: str, *, requires: str | None = None) -> None:
    described = f"{name}-{version}.dist-info"
    about = f"Name: {name}\nVersion: {version}\n"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{described}/METADATA": f"Metadata-Version: 2.1\n{about}{needs}",
        f"{described}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = "".join(f"{path},,\n" for path in [*files, f"{described}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{described}/RECORD": rows}.items():
            archive.writestr(path, text)


def spec(packages: tuple[str, ...], alone: tuple[str, ...]) -> EnvironmentSpec:
    return EnvironmentSpec(packages, this_python(), without_dependencies=alone)


def test_only_the_package_itself_is_installed(environments: Environments) -> None:
    with pytest.raises(Invalid, match="unbuilt"):
        environments.build(spec(("holder",), ()))
    built = environments.build(spec(("user",), ("holder==1.0",)))
    assert built.lock.read_text() == "base==2.0\nuser==1.0\nholder==1.0\n"
    code = "import base, holder, user; print(base.VERSION, holder.VERSION)"
    said = subprocess.run([built.python, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "2.0 1.0\n"
    assert not list(built.folder.glob("without*"))


def test_it_may_be_all_there_is(environments: Environments) -> None:
    assert environments.build(spec((), ("holder",))).lock.read_text() == "holder==1.0\n"


def test_a_version_that_the_packages_do_not_need_is_refused(environments: Environments) -> None:
    with pytest.raises(Invalid, match=r"`base==1\.0` of `without_dependencies`.* in version 2\.0"):
        environments.build(spec(("user",), ("base==1.0",)))
    assert "base==2.0\n" in environments.build(spec(("user",), ("base",))).lock.read_text()


def test_a_package_is_named_with_its_dependencies_or_without() -> None:
    with pytest.raises(Invalid, match="`six` is to be installed with its dependencies and without"):
        spec(("Six>=1",), ("six==1.17.0",))


def test_what_was_built_before_the_field_existed_keeps_its_digest() -> None:
    plain = EnvironmentSpec(("six",), "3.11")
    assert "without_dependencies" not in plain.to_json()
    assert spec(("six",), ("a",)).digest != spec(("six",), ("b",)).digest != plain.digest
    assert spec((), ("b", "A")).digest == spec((), ("a", "b", "b")).digest


def left_out(packages: tuple[str, ...], *names: str) -> EnvironmentSpec:
    return EnvironmentSpec(packages, this_python(), leave_out=names)


def test_a_package_that_is_left_out_is_installed_for_nobody(environments: Environments) -> None:
    built = environments.build(left_out(("holder", "user"), "Unbuilt"))
    assert built.lock.read_text() == "base==2.0\nholder==1.0\nuser==1.0\n"
    assert not list(built.folder.glob("left-out*"))
    # Also where the packages themselves name it, as a frozen requirements file does.
    named = environments.build(left_out(("holder", "unbuilt==1.0"), "unbuilt"))
    assert named.lock.read_text() == "holder==1.0\n"
    assert environments.build(left_out(("unbuilt",), "unbuilt")).lock.read_text() == ""


def test_what_is_left_out_is_a_name_in_all_its_versions() -> None:
    with pytest.raises(Invalid, match="`six>=1` is more than the name of a package") as caught:
        left_out((), "six>=1")
    assert "like `six`" in str(caught.value)
    with pytest.raises(Invalid, match="`six` is to be installed without its dependencies and"):
        EnvironmentSpec((), this_python(), without_dependencies=("six==1",), leave_out=("Six",))


def test_what_is_left_out_is_part_of_the_digest_only_where_it_is_said() -> None:
    plain = EnvironmentSpec(("six",), this_python())
    assert "leave_out" not in plain.to_json()
    assert left_out(("six",), "b", "A").digest == left_out(("six",), "a", "b", "B").digest
    assert plain.digest != left_out(("six",), "a").digest != left_out(("six",), "b").digest


@pytest.mark.parametrize(
    ("package", "name"),
    [("six", "six"), ("six==1", "six"), ("a-b[x,y]>=1; python_version<'4'", "a-b"), ("z; m", "z")],
)
def test_the_name_in_a_requirement(package: str, name: str) -> None:
    assert name_of(package) == name
