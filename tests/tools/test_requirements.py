"""The pins in requirements/ fit pyproject.toml, carry hashes, and name no registry."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CORE = PROJECT["project"]["dependencies"]
DEV = PROJECT["dependency-groups"]["dev"]
DECISION = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()


def read_pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("file", "wanted"), [("core.txt", CORE), ("dev.txt", CORE + DEV), ("uv.txt", ["uv"])]
)
def test_every_dependency_is_pinned_to_a_version_that_fits(file, wanted):
    pins = read_pins(file)
    for requirement in map(Requirement, wanted):
        version = pins.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is missing in {file}: `make lock`"
        assert requirement.specifier.contains(version), f"{requirement} is {version}: `make lock`"


def test_the_files_agree_on_every_version():
    core, dev, uv = (read_pins(name) for name in ("core.txt", "dev.txt", "uv.txt"))
    assert core.items() <= dev.items()
    assert uv.items() <= core.items()


@pytest.mark.parametrize("name", ["core.txt", "dev.txt", "uv.txt"])
def test_every_pin_has_a_hash_and_nothing_else_is_said(name):
    text = (ROOT / "requirements" / name).read_text()
    joined = re.sub(r"\\\n", "", text)
    lines = [line for line in joined.splitlines() if line and not line.lstrip().startswith("#")]
    assert lines
    assert not [line for line in lines if "==" not in line or "--hash=sha256:" not in line]


@pytest.mark.parametrize("requirement", CORE + DEV)
def test_every_dependency_has_its_reason_written_down(requirement):
    name = Requirement(requirement).name
    assert f"| `{name}`" in DECISION, f"say why in docs/decisions/0002-dependencies.md: {name}"
