"""The application for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.service import Service, make_service


@pytest.fixture
def service() -> Iterator[Service]:
    with make_service() as made:
        yield made
