"""The troubles of a database that pass: busy, away, full. One wording for both databases."""

from __future__ import annotations

from plinth.kit.errors import Temporary


def busy(fact: str) -> Temporary:
    """Return the error for a database that others keep busy."""
    return Temporary(fact, hint="again in a moment", code="database_busy")


def away(where: str, reason: str) -> Temporary:
    """Return the error for a database that does not answer, or broke off. `where`: its address."""
    return Temporary(
        f"the database `{where}` does not answer: {reason}",
        retry_after_s=2.0,
        hint="see that it runs, and that `database` in settings.toml is right",
    )


def disk_full() -> Temporary:
    """Return the error for a disk with no room left."""
    return Temporary(
        "the disk is full", retry_after_s=10, hint="free some space, then again", code="disk_full"
    )
