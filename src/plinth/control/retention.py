"""Remove what was deleted, when no response is left that may be traced to it."""

from __future__ import annotations

import logging
from datetime import timedelta

from plinth.control.context import Context
from plinth.store.runs import any_deleted, purge_runs

log = logging.getLogger(__name__)

PERIOD_S = 60.0
# So many in one transaction: nobody waits long for the next.
_AT_ONCE = 200


class Retention:
    """Called again and again; two of them on one database do each other no harm."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def purge(self) -> None:
        """Remove the runs that were deleted more than `trace_days` ago."""
        context = self._context
        before = context.clock.now() - timedelta(days=context.settings.trace_days)
        with context.database.read() as connection:
            # Most rounds find nothing, and a reader never waits for a writer.
            if not any_deleted(connection, before):
                return
        removed = _AT_ONCE
        while removed == _AT_ONCE:
            with context.database.write() as connection:
                removed = purge_runs(connection, before, _AT_ONCE)
            log.info("%d runs that were deleted before %s are removed", removed, before)
