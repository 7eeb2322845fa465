"""Keep a secret as the API does."""

from __future__ import annotations

from plinth.access.vault import new_data_key
from plinth.control.secrets import put_secret
from tests.control.plane import TEAM, Plane


def keep_secret(plane: Plane, name: str, value: bytes, team: str = TEAM) -> int:
    """Keep a value as the next version; return its number."""
    data_key = new_data_key(plane.context.master_key)
    with plane.write() as connection:
        return put_secret(
            connection, plane.context, plane.actor(), (team, name), value=value, data_key=data_key
        )
