"""The command line in this process, with a home and no Plinth that runs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plinth.cli.main import main


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Alone:
    """Runs `plinth ...` in a home of its own."""

    def __init__(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.home = home
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setenv("PLINTH_HOME", str(home))
        monkeypatch.setenv("NO_COLOR", "1")

    def __call__(self, *arguments: str | Path) -> Said:
        self._monkeypatch.setattr(sys, "argv", ["plinth", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        return Said(int(ended.value.code or 0), printed.out, printed.err)

    def write(self, name: str, text: str) -> Path:
        """Write a file beside the home."""
        path = self.home.parent / name
        path.write_text(text)
        return path

    def state(self, name: str, kind: str, *lines: str) -> Said:
        """Import a CSV file of a kind."""
        head = (f"# kind: {kind}", "# source: our portal", "# date: 2026-11-20")
        return self("catalog", "import", self.write(name, "\n".join((*head, *lines))))
