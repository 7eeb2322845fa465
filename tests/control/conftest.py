"""A control plane for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.control.plane import Plane, make_plane


@pytest.fixture
def plane() -> Iterator[Plane]:
    with make_plane() as made:
        yield made
