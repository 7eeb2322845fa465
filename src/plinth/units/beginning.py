"""When a unit began, on the wall's clock and on one that nobody can set.

What is told to people stands on the wall's clock; how long something took is counted since the
machine's start. So an end is the beginning and the time that passed, however the clock was set
meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from plinth.kit.clock import from_text, since_boot_s, to_text


@dataclass(frozen=True, slots=True)
class Beginning:
    """A moment of this boot. `since_boot_s`: seconds from the machine's start to it."""

    at: datetime
    since_boot_s: float

    @classmethod
    def now(cls) -> Beginning:
        """Return this moment."""
        return cls(datetime.now(UTC), since_boot_s())

    @classmethod
    def of(cls, identity: Mapping[str, Any], boot_id: str) -> Beginning | None:
        """Return the beginning in a unit's identity; None for another boot's, or an old one."""
        if identity.get("boot_id") != boot_id or identity.get("since_boot_s") is None:
            return None
        return cls(from_text(identity["started_at"]), float(identity["since_boot_s"]))

    def to_json(self) -> dict[str, Any]:
        """Return it as the part of an identity that `of` reads."""
        return {"started_at": to_text(self.at), "since_boot_s": self.since_boot_s}

    def age_s(self) -> float:
        """Return the seconds that have passed since then."""
        return max(0.0, since_boot_s() - self.since_boot_s)

    def until_now(self) -> datetime:
        """Return the beginning and what has passed since: what ends now ended then."""
        return self.at + timedelta(seconds=self.age_s())
