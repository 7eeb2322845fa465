"""Digests of environments."""

from __future__ import annotations

import pytest

from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.errors import Invalid


def test_the_digest_ignores_order_spelling_and_doubles() -> None:
    one = EnvironmentSpec(("Numpy>=2", "scikit_learn"), "3.11")
    two = EnvironmentSpec(("scikit-learn", "numpy >= 2", "numpy>=2"), "3.11")
    assert one == two
    assert one.digest == two.digest
    assert len(one.digest) == 64


def test_the_digest_follows_packages_python_and_source() -> None:
    digests = {
        EnvironmentSpec(("numpy",), "3.11").digest,
        EnvironmentSpec(("numpy==2.0",), "3.11").digest,
        EnvironmentSpec(("numpy",), "3.12").digest,
        EnvironmentSpec(("numpy",), "3.11", allow_source=True).digest,
    }
    assert len(digests) == 4


def test_the_machine_and_its_c_library_are_part_of_it() -> None:
    document = EnvironmentSpec((), this_python()).to_json()
    assert document["machine"]
    assert "libc" in document


@pytest.mark.parametrize("python", ["3", "2.7", "python3", "/usr/bin/python3", "3.11; x", ""])
def test_only_versions_of_python_are_accepted(python: str) -> None:
    with pytest.raises(Invalid, match="is not a version of Python"):
        EnvironmentSpec((), python)
