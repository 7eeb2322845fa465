"""From the end of a process that writes a log to the time of which its log may lack lines.

Pure. `units.ends` is the other half: it writes the lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from plinth.kit.clock import from_text
from plinth.metering.journal import GapDraft

# Envoy writes its log out every 200 ms; the rest is for a machine that is busy.
UNWRITTEN_S = 0.5


def gap_in(line: bytes) -> GapDraft | None:
    """Return the gap that one end leaves in the gateway's log; None when it wrote all it had.

    A program that ends by itself writes its log out, whatever its exit code; one that a signal
    ended did not, nor one that was lost. An end that nobody saw came between the last sign of
    life, `ended_at`, and the time at which it was noticed. Where the clock was set meanwhile the
    two are apart as well, and the gap is longer than it was. Raises ValueError for what is no end.
    """
    end = json.loads(line)
    if not isinstance(end, dict):
        raise ValueError("not an end")
    try:
        return _gap(end)
    except (KeyError, TypeError) as err:
        raise ValueError("not an end") from err


def _gap(end: Mapping[str, Any]) -> GapDraft | None:
    times = from_text(end["ended_at"]), from_text(end["noticed_at"])
    never_ran = end["started_at"] is None
    if never_ran or (end["phase"] == "exited" and end["signal"] is None):
        return None
    return GapDraft(
        reason=f"{end['unit']}: {end['reason'] or 'ended'}",
        started_at=min(times) - timedelta(seconds=UNWRITTEN_S),
        ended_at=max(times),
    )
