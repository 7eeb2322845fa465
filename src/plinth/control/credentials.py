"""Give Envoy the credentials of external models, in files that it reads by itself.

The gateway's reconciler calls it around handing over the routes that need them. A value is taken
from the secrets only when it is new, and kept nowhere here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from plinth.control.context import Context
from plinth.control.gateway_state import Credential, Rows
from plinth.control.secrets import read_secret
from plinth.gateway.credentials import check, folder, keep_only, write
from plinth.kit.errors import PlinthError

log = logging.getLogger(__name__)


def take(context: Context, deployment_id: str, endpoint: str, team: str, secret: str) -> bytes:
    """Take a credential from the secrets. Raises Invalid for one that no header can hold.

    Raises as `read_secret`; never call it within a transaction.
    """
    value = read_secret(context, team, secret, purpose=f"endpoint/{endpoint}")
    check(deployment_id, value)
    return value


class Credentials:
    """See the module. Remembers which version of which secret was written for whom.

    `fence` raises when somebody else publishes by now.
    """

    def __init__(self, context: Context, fence: Callable[[], None]) -> None:
        self._context = context
        self._fence = fence
        self._written: dict[str, Credential] = {}
        self._troubles: dict[str, str] = {}

    def write(self, rows: Rows) -> dict[str, str]:
        """Write what is new; return by deployment why that of one cannot be.

        One that cannot be taken now holds up no other: it keeps the value before.
        """
        place, troubles = self._place(rows), dict[str, str]()
        for deployment_id, needed in rows.credentials.items():
            if place is None or self._written.get(deployment_id) == needed:
                continue
            try:
                value = take(
                    self._context, deployment_id, needed.endpoint, needed.team, needed.secret
                )
                write(place, {deployment_id: value}, fence=self._fence, keep_others=True)
            except PlinthError as err:
                troubles[deployment_id] = err.message
                if self._troubles.get(deployment_id) != err.message:
                    log.warning("no new credential for %s: %s", deployment_id, err.message)
                continue
            self._written[deployment_id] = needed
        self._troubles = troubles
        return troubles

    def forget_others(self, rows: Rows) -> None:
        """Remove the files that Envoy needs no more; called when it has taken over the routes."""
        place = self._place(rows) or (folder(self._context.home.gateway) if self._written else None)
        if place is None or not place.exists() or self._written.keys() <= rows.credentials.keys():
            return
        keep_only(place, rows.credentials, fence=self._fence)
        self._written = {
            name: each for name, each in self._written.items() if name in rows.credentials
        }

    def _place(self, rows: Rows) -> Path | None:
        return Path(rows.state.credentials) if rows.credentials else None
