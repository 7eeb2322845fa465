"""The command line in this process, speaking to the application in this process."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plinth.cli import datasets, node, session, workloads
from plinth.cli.main import main
from plinth.client.client import Client
from tests.api.service import Service
from tests.client.connection import connect


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Steps:
    """Stands for the module `time`: while the command line waits, the control plane works."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def sleep(self, _seconds: float) -> None:
        self._service.plane.step()
        self._service.plane.parts.metering.collect()

    def monotonic(self) -> float:
        return self._service.plane.clock.monotonic()


class Terminal:
    """Runs `plinth ...`; `key` is whose key PLINTH_KEY would be."""

    def __init__(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.service = service
        self.key = service.admin
        self.home = service.plane.home.root
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        (self.home / "node.json").write_text(json.dumps({"address": "http://x", "port": 1}))
        monkeypatch.setenv("PLINTH_HOME", str(self.home))
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr(session, "Client", self._client)
        monkeypatch.setattr(workloads, "time", Steps(service))
        monkeypatch.setattr(node, "time", Steps(service))
        assert datasets.COMMANDS

    def _client(self, _address: str, key: str) -> Client:
        return connect(self.service, key if self.key == self.service.admin else self.key)

    def __call__(self, *arguments: str | Path) -> Said:
        words = ["plinth", *map(str, arguments)]
        self._monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        return Said(int(ended.value.code or 0), printed.out, printed.err)

    def write(self, name: str, text: str) -> Path:
        """Write a file below the home."""
        path = self.home / "files" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path
