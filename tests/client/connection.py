"""A client that speaks to the application in this process."""

from __future__ import annotations

from plinth.client.client import Client
from tests.api.service import Service, TestClient


def connect(service: Service, key: str) -> Client:
    """Return a client whose calls go to the service's application."""
    client = Client("http://testserver", key)
    client.close()
    client._http = TestClient(
        service.app,
        base_url="http://testserver/api/v1",
        headers={"authorization": f"Bearer {key}"},
        raise_server_exceptions=False,
    )
    return client
