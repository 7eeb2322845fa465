"""Imports: facts and prices that the organisation states, kept in its home, over what we bring.

`check_import` looks at a whole file before anything is kept: it returns an import or raises with
every mistake. `save_import` keeps one, in place of an earlier one of the same name; `load_imports`
reads them all; `forget_import` removes one. A kept file is JSON of checked cells, so that a plan
does not read anybody's YAML or CSV again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import DecimalException
from pathlib import Path, PurePath
from typing import Any

from plinth.catalog.import_file import CSV, YAML, Cell, RawFile, Row, read_file
from plinth.catalog.import_kinds import KINDS, Kind, Stated
from plinth.catalog.import_values import Known, WrongValue, shown, words_of
from plinth.catalog.names import nearest
from plinth.catalog.table import Source
from plinth.domain.load import LoadError
from plinth.domain.mistake import Mistake
from plinth.kit.errors import Invalid, NotFound
from plinth.kit.files import make_private, write_json

FORMAT = 1
_ENDING = ".json"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OLDEST = date(2000, 1, 1)
_LONGEST_SOURCE = 300
_MOST_SHOWN = 50
_HINT = "nothing was imported; correct the file and import it again"


@dataclass(frozen=True, slots=True)
class Import:
    """One file that was imported. `cells`: its rows, checked, by column; `rows` are built of them.

    `imported_at`: aware, UTC.
    """

    name: str
    kind: str
    source: Source
    imported_at: datetime
    cells: tuple[Mapping[str, str], ...]

    @property
    def rows(self) -> Iterator[Stated]:
        """What each row states."""
        build = KINDS[self.kind].build
        return (build(cells, self.source) for cells in self.cells)


def check_import(content: bytes, file: str, known: Known, now: datetime) -> Import:
    """Return what a file states. `file`: its name, whose ending says YAML or CSV; `now`: UTC.

    Raises Invalid for a name that cannot be kept, LoadError with every mistake of the content.
    """
    name = PurePath(file).name
    if not _FILE_NAME.fullmatch(name) or PurePath(name).suffix.lower() not in (CSV, *YAML):
        raise Invalid(
            f"{shown(name)} is no name for an import; letters, digits and `._-`, ending in "
            f"{', '.join((CSV, *YAML))}",
            hint="rename the file",
        )
    raw = read_file(content, name)
    if not raw.header and not raw.rows:
        raise LoadError(raw.mistakes, hint=_HINT)
    mistakes = list(raw.mistakes)
    kind = _kind(raw, name, mistakes)
    source = _source(raw, name, now, mistakes)
    cells = _rows(raw, kind, known, name, mistakes) if kind is not None else []
    if mistakes or kind is None or source is None:
        raise LoadError(mistakes, hint=_HINT)
    return Import(name, raw.header["kind"].text, source, now, tuple(cells))


def save_import(folder: Path, imported: Import) -> None:
    """Keep an import in `folder`, whole or not at all; one of the same name is replaced."""
    make_private(folder)
    source = imported.source
    content = {
        "format": FORMAT,
        "file": imported.name,
        "kind": imported.kind,
        "source": source.text,
        "date": source.day.isoformat(),
        "imported_at": imported.imported_at.isoformat(),
        "rows": imported.cells,
    }
    write_json(folder / f"{imported.name}{_ENDING}", content)


def load_imports(folder: Path) -> tuple[Import, ...]:
    """Return every import of a home, the oldest first, so that a later one wins.

    Raises Invalid when one was damaged.
    """
    found = [_load(path) for path in sorted(folder.glob(f"*{_ENDING}")) if path.name[0] != "."]
    return tuple(sorted(found, key=lambda each: (each.imported_at, each.name)))


def forget_import(folder: Path, name: str) -> None:
    """Remove an import. Raises NotFound with the nearest name."""
    names = [path.name.removesuffix(_ENDING) for path in sorted(folder.glob(f"*{_ENDING}"))]
    if name not in names:
        close = nearest(name, names)
        meant = f"; did you mean `{close}`?" if close else ""
        raise NotFound(
            f"no file {shown(name)} was imported{meant}",
            hint="`plinth catalog imports` lists them",
        )
    (folder / f"{name}{_ENDING}").unlink()


def _load(path: Path) -> Import:
    try:
        return _parse(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError, DecimalException) as err:
        name = path.name.removesuffix(_ENDING)
        raise Invalid(
            f"`{path}` was damaged: it is no import that this Plinth wrote",
            hint=f"`plinth catalog forget {name}` removes it; then import the file again",
        ) from err


def _parse(content: Any) -> Import:
    if content["format"] != FORMAT:
        raise ValueError(content["format"])
    imported_at = datetime.fromisoformat(content["imported_at"])
    source = _import_source(
        content["file"], content["source"], date.fromisoformat(content["date"]), imported_at
    )
    cells = tuple(content["rows"])
    imported = Import(content["file"], content["kind"], source, imported_at, cells)
    # Built once here, so that a damaged row is found with its file.
    for _ in imported.rows:
        pass
    return imported


def _import_source(name: str, text: str, day: date, imported_at: datetime) -> Source:
    return Source(name, text, day, "", file=name, imported=imported_at.date())


def _kind(raw: RawFile, file: str, mistakes: list[Mistake]) -> Kind | None:
    written = raw.header.get("kind")
    if written is None:
        mistakes.append(_missing(file, "kind", tuple(KINDS)))
        return None
    if written.text not in KINDS:
        message = f"{shown(written.text)} is not a kind of file to import"
        close = nearest(written.text, KINDS)
        mistakes.append(Mistake(file, written.line, 1, "kind", message, tuple(KINDS), close))
        return None
    return KINDS[written.text]


def _source(raw: RawFile, file: str, now: datetime, mistakes: list[Mistake]) -> Source | None:
    text, day = raw.header.get("source"), raw.header.get("date")
    found = None
    if text is None or not text.text:
        mistakes.append(_missing(file, "source", None))
    elif len(text.text) > _LONGEST_SOURCE:
        message = f"it has {len(text.text)} characters; at most {_LONGEST_SOURCE}"
        mistakes.append(Mistake(file, text.line, 1, "source", message))
    elif day is not None:
        found = text.text
    if day is None:
        mistakes.append(_missing(file, "date", None))
        return None
    stated = _day(day.text)
    if stated is None or not _OLDEST <= stated <= now.date():
        message = f"{shown(day.text)} is not a day like `2026-11-01`, not after today"
        mistakes.append(Mistake(file, day.line, 1, "date", message))
        return None
    return None if found is None else _import_source(file, found, stated, now)


def _day(text: str) -> date | None:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _missing(file: str, field: str, accepted: tuple[str, ...] | None) -> Mistake:
    form = f"`{field}: ...` in YAML, `# {field}: ...` above the columns in CSV"
    what = {"kind": "what the file holds", "source": "where it comes from", "date": "of which day"}
    return Mistake(file, 1, 1, field, f"{what[field]} is missing: write {form}", accepted)


def _rows(
    raw: RawFile, kind: Kind, known: Known, file: str, mistakes: list[Mistake]
) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    seen: dict[tuple[str | None, ...], int] = {}
    report = _Report(file, mistakes, set())
    for row in raw.rows:
        before = len(mistakes)
        cells = _cells(row, kind, known, report)
        for name, wrong in kind.check_row(cells) if len(mistakes) == before else ():
            mistakes.append(_mistake(report, row, name, wrong, cells.get(name, "")))
        key = tuple(cells.get(name) for name in kind.key)
        if len(mistakes) > before:
            continue
        if key in seen:
            message = f"the same stands already in line {seen[key]}; keep one of the two"
            mistakes.append(Mistake(file, row.line, 1, row.field, message))
        seen.setdefault(key, row.line)
        found.append(cells)
    return found


@dataclass(frozen=True, slots=True)
class _Report:
    """Where mistakes go; an unknown column is told once, not for each row."""

    file: str
    mistakes: list[Mistake]
    unknown: set[str]


def _cells(row: Row, kind: Kind, known: Known, report: _Report) -> dict[str, str]:
    columns = {column.name: column for column in kind.columns}
    checked: dict[str, str] = {}
    for name, cell in row.cells.items():
        column = columns.get(name)
        if column is None:
            if name not in report.unknown:
                report.mistakes.append(_unknown_column(report.file, cell, name, tuple(columns)))
            report.unknown.add(name)
            continue
        try:
            checked[name] = column.check(cell.text, known)
        except WrongValue as err:
            report.mistakes.append(_mistake(report, row, name, err, cell.text))
    report.mistakes.extend(
        _mistake(report, row, name, WrongValue("this column is needed"), "")
        for name, column in columns.items()
        if column.needed and name not in row.cells
    )
    return checked


def _unknown_column(file: str, cell: Cell, name: str, columns: tuple[str, ...]) -> Mistake:
    return Mistake(
        file, cell.line, 1, cell.field, "unknown column", columns, nearest(name, columns)
    )


def _mistake(report: _Report, row: Row, name: str, wrong: WrongValue, text: str) -> Mistake:
    # The nearest of thousands of names takes milliseconds, and only the first mistakes are shown.
    is_shown = len(report.mistakes) < _MOST_SHOWN
    cell = row.cells.get(name)
    field = f"{row.field}.{name}" if row.field else name
    accepted, close = words_of(wrong, text) if is_shown else (None, None)
    line = cell.line if cell else row.line
    return Mistake(report.file, line, 1, field, wrong.message, accepted, close)
