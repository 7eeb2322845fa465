"""A person at the console, over the whole application."""

from __future__ import annotations

import pytest

from tests.api.console.person import Person
from tests.api.service import Service


@pytest.fixture
def person(service: Service) -> Person:
    return Person(service)
