"""Find files by paths and patterns, and send them as one data version.

Called by `plinth data add` and `plinth batch run`. What was sent before is not sent again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from plinth.client.client import Client, Json
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt

ENDINGS = (".parquet", ".csv", ".jsonl", ".ndjson")
_MOST_FILES = 10_000
_PATTERN = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file on this machine, and its name in the version."""

    path: Path
    name: str


def find_files(patterns: Sequence[str], base: Path) -> list[FoundFile]:
    """Return the files that paths and patterns (`in/*.csv`, `**`) below `base` mean, by name.

    Their names are relative to the folder that they share. Raises Invalid for a path that is no
    file, a pattern that matches none, another ending, and too many.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        paths.update(dict.fromkeys(_matching(pattern.removeprefix("file://"), base)))
    found = sorted(paths)
    for path in found:
        if path.suffix.lower() not in ENDINGS:
            raise Invalid(
                f"`{path}` is no data file that Plinth can read; it reads {', '.join(ENDINGS)}"
            )
    if len(found) > _MOST_FILES:
        raise Invalid(f"{len(found):,} files match; a data version has at most {_MOST_FILES:,}")
    shared = Path(os.path.commonpath([path.parent for path in found]))
    return [FoundFile(path, path.relative_to(shared).as_posix()) for path in found]


def send_files(
    client: Client,
    name: str,
    files: Sequence[FoundFile],
    *,
    team: str | None,
    as_is: bool = False,
    told: Callable[[int, int], None] = lambda _sent, _of: None,
) -> Json:
    """Send files and make them the next version of dataset `name`; return it.

    `told` is called with how many of how many files are there. Raises Invalid for a file that
    disappeared, or that changes while it is sent.
    """
    digests = {each.name: _digest_of(each.path) for each in files}
    missing = set(client.missing_files(name, digests, team=team))
    sent: set[tuple[str, str]] = set()
    for number, each in enumerate(files, 1):
        digest = digests[each.name]
        # What the same bytes mean depends on the ending.
        kind = (digest, each.path.suffix.lower())
        if digest in missing and kind not in sent:
            try:
                client.put_data_file(name, digest, each.path, file_name=each.name, team=team)
            except OSError as err:
                raise _unreadable(each.path, err) from err
            sent.add(kind)
        told(number, len(files))
    return client.add_data_files(name, digests, as_is=as_is, team=team)


def _matching(pattern: str, base: Path) -> list[Path]:
    path = Path(os.path.abspath(base / pattern))
    if path.is_file():
        # Also one with a `[` in its name.
        return [path]
    if not _PATTERN.intersection(pattern):
        raise Invalid(
            f"`{path}` is not a file", hint="name Parquet, CSV or JSONL files, or a pattern"
        )
    anchor = Path(path.anchor)
    found = [each for each in anchor.glob(str(path.relative_to(anchor))) if each.is_file()]
    # A file that begins with a dot is half written, or somebody's editor's.
    found = [each for each in found if not each.name.startswith(".")]
    if not found:
        raise Invalid(
            f"no file matches `{excerpt(pattern)}`", hint=f"it is read relative to `{base}`"
        )
    return found


def _digest_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as err:
        raise _unreadable(path, err) from err


def _unreadable(path: Path, err: OSError) -> Invalid:
    return Invalid(
        f"`{path}` cannot be read: {err.strerror or type(err).__name__}",
        hint="it may have been removed meanwhile; run the same command again",
    )
