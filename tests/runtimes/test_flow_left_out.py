"""The stand-in for a package that has no wheel: offered where it is missed, and honest."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.runtimes.flowhost.left_out import Compiler, stand_in


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("pybars", "semantic_kernel"):
        sys.modules.pop(name, None)


def test_semantic_kernel_finds_the_module_that_it_imports(place: Path) -> None:
    imports = "from pybars import Compiler, PybarsError\n"
    (place / "semantic_kernel.py").write_text(imports)
    stand_in()
    found = importlib.import_module("semantic_kernel")
    assert found.Compiler is Compiler
    assert issubclass(found.PybarsError, Exception)


def test_a_handlebars_template_is_refused_with_what_to_do() -> None:
    with pytest.raises(ImportError, match=r"needs the package `pybars4`.*`\"jinja2\"`") as caught:
        Compiler().compile("{{a}}")
    assert caught.value.name == "pybars"


def test_the_real_package_is_left_alone(place: Path) -> None:
    for name in ("semantic_kernel", "pybars"):
        (place / f"{name}.py").write_text("Compiler = 'the real one'\n")
    stand_in()
    assert importlib.import_module("pybars").Compiler == "the real one"
    stand_in()
    assert importlib.import_module("pybars").Compiler == "the real one"


def test_nothing_is_offered_where_nobody_misses_it() -> None:
    stand_in()
    assert "pybars" not in sys.modules
