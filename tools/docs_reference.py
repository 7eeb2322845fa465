"""Write the pages of docs/reference that are rendered from the code.

`python -m tools.docs_reference` writes them, `--check` fails when one is stale; so does a test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.reference.commands import commands_page
from tools.reference.errors import errors_page
from tools.reference.platforms import platforms_page
from tools.reference.rules import rules_page
from tools.reference.settings import settings_page
from tools.reference.workload import workload_page

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "errors.md": errors_page,
    "platforms.md": platforms_page,
    "rules.md": rules_page,
    "settings.md": settings_page,
    "workload.md": workload_page,
}


def stale(folder: Path) -> list[str]:
    """Return the names of the pages in `folder` that are not what they must be."""
    return [name for name, page in PAGES.items() if _read(folder / name) != page()]


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` tell whether they are what they must be."""
    names = stale(FOLDER)
    if "--check" in arguments:
        for name in names:
            sys.stderr.write(f"{name} is stale; run `python -m tools.docs_reference`\n")
        return 1 if names else 0
    for name in names:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
