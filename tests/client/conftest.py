"""The application, and a client of it as its administrator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plinth.client.client import Client
from tests.api.service import Service, make_service
from tests.client.connection import connect


@pytest.fixture
def service() -> Iterator[Service]:
    with make_service() as made:
        yield made


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with connect(service, service.admin) as connected:
        yield connected
