"""What the control plane is made of; the composition root fills it in once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from plinth.access.keyring import Keyring
from plinth.access.master_key import MasterKeyring
from plinth.access.tokens import Claims, mint, verify
from plinth.control.builder import Builder
from plinth.domain.access import Principal, PrincipalKind
from plinth.domain.platform import Platform
from plinth.engines.base import Engine
from plinth.kit.clock import Clock
from plinth.kit.errors import Unauthenticated
from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.metering.ledger import Ledger
from plinth.runtimes.runtime import Runtime
from plinth.storage.files import Storage
from plinth.store.session import Database
from plinth.tracking.mlflow import Tracking
from plinth.units.client import AgentClient

# The principal of the token file.
ADMIN_PRINCIPAL = "admin"
DEFAULT_TEAM = "default"


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that services and reconcilers work with.

    `platforms()` is what may be planned on; `hint()` wakes the reconcilers after a commit.
    `master_key` wraps the data keys of secrets.
    """

    home: Home
    settings: Settings
    port: int
    clock: Clock
    database: Database
    ledger: Ledger
    keyring: Keyring
    master_key: MasterKeyring
    agent: AgentClient
    engine: Engine
    builder: Builder
    storage: Storage
    tracking: Tracking
    runtimes: Mapping[str, Runtime]
    platforms: Callable[[], tuple[Platform, ...]]
    hint: Callable[[], None]

    @property
    def address(self) -> str:
        """Where everything is reached: the gateway's address."""
        return f"http://127.0.0.1:{self.port}"

    def mint(
        self, principal: Principal, key_id: str, expires_at: datetime, *, page: str | None = None
    ) -> str:
        """Return the key whose row is `key_id`; each call signs anew, the row stays one.

        `page`: where it counts, when it is a browser's.
        """
        is_run = principal.kind is PrincipalKind.RUN
        claims = Claims(principal.id, principal.team, key_id, expires_at, is_run, page)
        return mint(self.keyring, claims)

    def claims_of(self, token: str) -> Claims | None:
        """Return what a key says when it is valid now, else None."""
        try:
            return verify(self.keyring, token, self.clock.now())
        except Unauthenticated:
            return None
