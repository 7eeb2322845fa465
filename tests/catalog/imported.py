"""Files to import, and what they are checked against, for the tests of imports."""

from __future__ import annotations

from datetime import UTC, datetime

from plinth.catalog.catalog import Catalog
from plinth.catalog.imports import Import, check_import

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)


def csv_file(kind: str, *lines: str) -> bytes:
    """Return a CSV file of a kind with its columns and rows."""
    head = (f"# kind: {kind}", "# source: our portal", "# date: 2026-11-20")
    return "\n".join((*head, *lines, "")).encode()


def imported(kind: str, *lines: str, name: str = "ours.csv", now: datetime = NOW) -> Import:
    """Return what a CSV file states, checked against what Plinth brings."""
    return check_import(csv_file(kind, *lines), name, Catalog().known(), now)


def catalog_with(kind: str, *lines: str) -> Catalog:
    """Return the catalog with one import over it."""
    return Catalog([imported(kind, *lines)])
