"""What workspaces open in the browser, as data: its packages, and how it is started."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml

_FOLDER = Path(__file__).parent
_FILE = _FOLDER / "tools.yaml"
# Where a tool tells what goes on in it.
ACTIVITY_PATH = "/plinth/activity"
# Where it is told whose WebSockets to close. The gateway leads only the first of them to a tool.
LEAVE_PATH = "/plinth/leave"


@dataclass(frozen=True, slots=True)
class NotebookTool:
    """One tool. `packages` are added to those of the workspace. `page`: where a person begins."""

    name: str
    packages: tuple[str, ...]
    module: str
    page: str
    source: str
    date: date

    @property
    def folder(self) -> Path:
        """The folder that its process must be able to read, beside its environment."""
        return _FOLDER


def load_tools() -> dict[str, NotebookTool]:
    """Return every tool by name."""
    rows = yaml.safe_load(_FILE.read_text("utf-8"))["tools"]
    found = (NotebookTool(**{**row, "packages": tuple(row["packages"])}) for row in rows)
    return {tool.name: tool for tool in found}
