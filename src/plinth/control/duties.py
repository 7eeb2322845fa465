"""Do something for all control planes of a database: only while this one has the duty."""

from __future__ import annotations

import logging
import math

from plinth.kit.clock import Clock
from plinth.kit.errors import Temporary
from plinth.store.duties import release_duties, take_duty
from plinth.store.leases import Holder
from plinth.store.session import Database

log = logging.getLogger(__name__)


class Duty:
    """One duty as one control plane sees it; used by one thread.

    `term` is 0 without it, and a new number each time it was taken from nobody or another.
    """

    def __init__(
        self, name: str, database: Database, clock: Clock, holder: Holder, lease_s: float
    ) -> None:
        self.name = name
        self.term = 0
        self._database = database
        self._clock = clock
        self._holder = holder
        self._lease_s = lease_s
        self._valid_until = -math.inf
        self._terms = 0

    @property
    def valid_until(self) -> float:
        """Until when it is certainly ours, in `Clock.since_boot_s()`."""
        return self._valid_until

    def hold(self) -> bool:
        """Take the duty, or prolong it; tell whether we have it. Raises Temporary."""
        # Half of it is left: most calls need no transaction.
        if self._valid_until - self._clock.since_boot_s() > self._lease_s / 2:
            return True
        # Counted from before the question, so that it ends here before it ends for the others.
        asked_at = self._clock.since_boot_s()
        had_it = asked_at < self._valid_until
        with self._database.write(alone=False) as connection:
            now = self._database.now(connection, self._clock)
            has_it = take_duty(connection, self.name, self._holder, now=now, lease_s=self._lease_s)
        if not has_it:
            if self.term:
                log.info("%s: another control plane has the duty `%s`", self._holder, self.name)
            self.term, self._valid_until = 0, -math.inf
            return False
        if not had_it:
            self._terms += 1
            self.term = self._terms
            log.info("%s has the duty `%s`", self._holder, self.name)
        self._valid_until = asked_at + self._lease_s
        return True

    def check(self) -> None:
        """Return while the duty is certainly ours. Raises Temporary: another may have it by now."""
        if self._clock.since_boot_s() >= self._valid_until:
            raise Temporary(
                f"the duty `{self.name}` was held for longer than its lease",
                hint="whoever has it now goes on with it",
                code="stale_order",
            )


def let_go(database: Database, holder: Holder) -> None:
    """Free every duty of this control plane: as it ends, and what an earlier life left."""
    with database.write(alone=False) as connection:
        release_duties(connection, holder)
