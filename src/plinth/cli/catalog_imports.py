"""`plinth catalog import`, `imports` and `forget`: facts and prices that you state yourself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from plinth.catalog.catalog import Catalog
from plinth.catalog.import_file import MOST_BYTES
from plinth.catalog.imports import (
    Import,
    check_import,
    forget_import,
    load_imports,
    save_import,
)
from plinth.cli.output import counted, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, open_home
from plinth.kit.errors import Invalid


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML or CSV; see the how-to")],
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """State facts and prices from a file, in place of Plinth's.

    Kinds: prices, platform-prices, skus, availability, quotas, exchange-rates, regions, day2-hours.
    The whole file is checked first. A file of the same name replaces what was imported from it
    before.
    """
    folder = open_home(home).catalog
    content = _read(file)
    earlier = load_imports(folder)
    # What the file itself stated before must not vouch for what it says now.
    others = [each for each in earlier if each.name != file.name]
    imported = check_import(content, file.name, Catalog(others).known(), datetime.now(UTC))
    try:
        save_import(folder, imported)
    except OSError as err:
        raise Invalid(
            f"`{folder}` cannot be written: {err.strerror}; nothing was imported",
            hint="choose a folder that you own: `--home DIR` or PLINTH_HOME",
        ) from err
    if as_json:
        print_json(_json(imported))
    before = next((each for each in earlier if each.name == file.name), None)
    instead = f", in place of those of {before.imported_at.date()}" if before else ""
    rows = counted(len(imported.cells), "row")
    note(f"imported {rows} of {imported.kind} from `{imported.name}`{instead}")
    note(
        f"next: `plinth catalog imports` lists them, `plinth catalog forget {imported.name}` undoes"
    )


def list_imports(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the files that were imported, the oldest first. A later one wins."""
    found = load_imports(open_home(home).catalog)
    if as_json:
        print_json([_json(each) for each in found])
        return
    rows = [
        [
            *(each.name, each.kind, f"{len(each.cells):,}", each.source.day.isoformat()),
            *(f"{each.imported_at:%Y-%m-%d %H:%M}", each.source.text),
        ]
        for each in found
    ]
    print_table(
        ["FILE", "KIND", ">ROWS", "DATE", "IMPORTED (UTC)", "SOURCE"],
        rows,
        empty="nothing was imported; `plinth catalog import FILE` states facts and prices",
    )


def forget(
    name: Annotated[str, typer.Argument(metavar="FILE-NAME", help="As `imports` lists it")],
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Take back what was imported from a file. What Plinth brings holds again."""
    forget_import(open_home(home).catalog, name)
    if as_json:
        print_json({"file": name, "forgotten": True})
    note(f"forgot `{name}`")


def _read(file: Path) -> bytes:
    try:
        if file.exists() and not file.is_file():
            raise Invalid(f"`{file}` is not a file", hint="give the path of a YAML or CSV file")
        with file.open("rb") as stream:
            # One more than is accepted, so that the check can say that it is too large.
            return stream.read(MOST_BYTES + 1)
    except OSError as err:
        raise Invalid(
            f"`{file}` cannot be read: {err.strerror}", hint="give the path of a YAML or CSV file"
        ) from err


def _json(imported: Import) -> dict[str, Any]:
    return {
        "file": imported.name,
        "kind": imported.kind,
        "rows": len(imported.cells),
        "imported_at": imported.imported_at.isoformat(),
        "source": imported.source.to_json(),
    }
