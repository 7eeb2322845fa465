"""The text of a file to import: YAML or CSV to rows of text that know their line.

`imports.py` calls it. What the rows mean is `import_kinds.py`; here only the form is looked at.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from plinth.domain.document import Document, Node, path_text, read_document
from plinth.domain.mistake import Mistake

HEADER = ("kind", "source", "date")
CSV = ".csv"
YAML = (".yaml", ".yml")
MOST_BYTES = 5_000_000
MOST_ROWS = 20_000
_FIELDS = (*HEADER, "rows")


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as it stands in the file. `line` counts from 1; `field` is its place for people."""

    text: str
    line: int
    field: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its cells by column, empty ones left out."""

    line: int
    field: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class RawFile:
    """What a file holds. `header` has the cells of `kind`, `source` and `date` that stand there."""

    header: Mapping[str, Cell]
    rows: tuple[Row, ...]
    mistakes: tuple[Mistake, ...]


def read_file(content: bytes, file: str) -> RawFile:
    """Read the text of a file; what is wrong with its form is in `mistakes`. Never raises."""
    if len(content) > MOST_BYTES:
        return _unreadable(file, f"the file has {len(content):,} bytes; at most {MOST_BYTES:,}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        return _unreadable(file, f"the byte 0x{content[err.start]:02x} is not UTF-8", line)
    if PurePath(file).suffix.lower() == CSV:
        return _read_csv(text, file)
    return _read_yaml(text, file)


def _unreadable(file: str, message: str, line: int = 1) -> RawFile:
    return RawFile({}, (), (Mistake(file, line, 1, "", message),))


def _read_csv(text: str, file: str) -> RawFile:
    lines = text.splitlines()
    header: dict[str, Cell] = {}
    start = 0
    while start < len(lines) and (not lines[start].strip() or lines[start].startswith("#")):
        key, colon, value = lines[start].lstrip("# ").partition(":")
        if colon and key.strip() in HEADER:
            header[key.strip()] = Cell(value.strip(), start + 1, key.strip())
        start += 1
    reader = csv.reader(lines[start:], strict=True)
    rows: list[Row] = []
    mistakes: list[Mistake] = []
    try:
        columns = [name.strip() for name in next(reader, [])]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        mistakes += [
            Mistake(file, start + 1, 1, name, "this column stands twice") for name in twice
        ]
        for values in reader:
            line = start + reader.line_num
            if len(values) > len(columns):
                message = f"{len(values)} values for {len(columns)} columns"
                mistakes.append(Mistake(file, line, 1, "", message))
            elif any(value.strip() for value in values):
                rows.append(_csv_row(dict(zip(columns, values, strict=False)), line))
    except csv.Error as err:
        return _unreadable(file, f"this is not CSV: {err}", start + reader.line_num)
    return _counted(RawFile(header, tuple(rows), tuple(mistakes)), file)


def _csv_row(values: Mapping[str, str], line: int) -> Row:
    cells = {
        name: Cell(value.strip(), line, name) for name, value in values.items() if value.strip()
    }
    return Row(line, "", cells)


def _read_yaml(text: str, file: str) -> RawFile:
    document = read_document(text)
    mistakes = [
        Mistake(file, *document.position(each.offset), path_text(each.path), each.message)
        for each in document.problems
    ]
    if document.root is None:
        return RawFile({}, (), tuple(mistakes))
    fields = document.root.value
    if not isinstance(fields, dict):
        return _unreadable(file, f"a file holds the fields {', '.join(_FIELDS)}")
    for name in fields.keys() - set(_FIELDS):
        line, column = document.position(document.root.keys[name])
        mistakes.append(Mistake(file, line, column, name, "unknown field", _FIELDS))
    header = {
        name: Cell(_text(fields[name]), document.position(fields[name].offset)[0], name)
        for name in HEADER
        if name in fields and not isinstance(fields[name].value, dict | tuple)
    }
    rows = _yaml_rows(document, file, mistakes)
    return _counted(RawFile(header, rows, tuple(mistakes)), file)


def _yaml_rows(document: Document, file: str, mistakes: list[Mistake]) -> tuple[Row, ...]:
    offset, listed = document.find(("rows",))
    if listed is None or not isinstance(listed.value, tuple):
        place = document.position(offset)
        mistakes.append(Mistake(file, *place, "rows", "a list of rows is needed, each a mapping"))
        return ()
    rows: list[Row] = []
    for number, node in enumerate(listed.value):
        field = f"rows[{number}]"
        line, column = document.position(node.offset)
        if not isinstance(node.value, dict):
            mistakes.append(Mistake(file, line, column, field, "a row is a mapping of columns"))
            continue
        cells: dict[str, Cell] = {}
        for name, value in node.value.items():
            at = document.position(node.keys[name])
            if isinstance(value.value, dict | tuple):
                message = "one value is needed, not several"
                mistakes.append(Mistake(file, *at, f"{field}.{name}", message))
            elif _text(value):
                cells[name] = Cell(_text(value), at[0], f"{field}.{name}")
        rows.append(Row(line, field, cells))
    return tuple(rows)


def _text(node: Node) -> str:
    """Return a value as it is written: `1.10` stays `1.10`, and `true` is a text."""
    if node.value is None:
        return ""
    return (node.written if node.written is not None else str(node.value)).strip()


def _counted(raw: RawFile, file: str) -> RawFile:
    if len(raw.rows) > MOST_ROWS:
        return _unreadable(file, f"the file has {len(raw.rows):,} rows; at most {MOST_ROWS:,}")
    if not raw.rows and not raw.mistakes:
        return _unreadable(file, "the file has no rows")
    return raw
