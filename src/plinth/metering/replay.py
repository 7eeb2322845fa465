"""Read every source that is kept once more, into an empty ledger.

What comes out is the ledger that was filled bit by bit, byte for byte, but for sources that are
no longer kept. Used by `plinth.control.replay` and by the tests that hold us to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from plinth.metering.engine_usage import ReplicaSpan, record_usage
from plinth.metering.journal import Journal, Reading
from plinth.metering.ledger import Ledger


def replay(
    ledger: Ledger, logs: Iterable[tuple[Path, Reading]], spans: Iterable[ReplicaSpan]
) -> None:
    """Fill `ledger` from the logs (and what was rotated of each) and from the times of replicas."""
    for path, reading in logs:
        Journal(path, ledger, reading).collect()
    for span in spans:
        record_usage(ledger, span)
