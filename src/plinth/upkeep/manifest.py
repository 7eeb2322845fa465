"""What a backup says of itself: checked before anybody relies on it.

Its digests say that a file is as it was written, not that Plinth wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from plinth.kit.clock import from_text
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt

Json = Mapping[str, Any]

# No backup is older than Plinth, and times are reckoned with.
_YEARS = range(2000, 2100)
_STORES = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Origin:
    """When a backup was made, and of which home."""

    made_at: datetime
    home: Path


def check_head(head: Json, file: Path) -> None:
    """Return if the first words of a backup can be read on. Raises Invalid."""
    _check(head, ("plinth", "schema"), file)


def origin_of(manifest: Json, file: Path) -> Origin:
    """Return where a backup comes from, when everything that it must say is there.

    Raises Invalid that names what is not.
    """
    _check(manifest, tuple(_NEEDED), file)
    return Origin(from_text(manifest["made_at"]), Path(manifest["home"]))


def _check(content: Json, names: tuple[str, ...], file: Path) -> None:
    for name in names:
        what, is_right = _NEEDED[name]
        if name not in content:
            raise _damaged(file, f"`{name}` is missing: {what}")
        if not is_right(content[name]):
            raise _damaged(file, f"`{name}` is `{excerpt(content[name])}` where {what} is needed")


def _damaged(file: Path, how: str) -> Invalid:
    return Invalid(
        f"`{file}` is damaged, or was not written by `plinth backup`: {how}",
        hint="nothing was changed; use another copy of the backup",
        code="backup_damaged",
    )


def _is_time(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        found = from_text(value)
    except ValueError:
        return False
    return found.year in _YEARS


def _is_home(value: Any) -> bool:
    is_path = isinstance(value, str) and "\0" not in value and PurePosixPath(value).is_absolute()
    return is_path and ".." not in PurePosixPath(value).parts


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(tables, dict) and all(isinstance(count, int) for count in tables.values())
        for tables in value.values()
    )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_NEEDED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "plinth": ("the version that wrote it", lambda value: isinstance(value, str)),
    "schema": ("the store's schema", lambda value: value is None or isinstance(value, str)),
    "made_at": ("a time like `2026-11-22T18:00:00.000000Z`", _is_time),
    "home": ("the folder that was backed up", _is_home),
    "store": (f"one of {', '.join(_STORES)}", lambda value: value in _STORES),
    "counts": ("the count of rows by table", _is_counts),
    "missing": ("the list of missing files", _is_names),
}
