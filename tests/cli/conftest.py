"""A terminal for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.service import Service, make_service
from tests.cli.alone import Alone
from tests.cli.terminal import Terminal

JOB = "kind: job\nname: train\nteam: research\ncode: .\ncommand: [python, x.py]\n"
ENDPOINT = "kind: endpoint\nname: delay\nteam: research\nmodel: models:/m@champion\n"


@pytest.fixture
def service() -> Iterator[Service]:
    with make_service() as made:
        yield made


@pytest.fixture
def terminal(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    return Terminal(service, monkeypatch, capsys)


@pytest.fixture
def job_file(terminal: Terminal) -> Path:
    terminal.write("x.py", "pass")
    return terminal.write("job.yaml", JOB)


@pytest.fixture
def endpoint_file(terminal: Terminal) -> Path:
    return terminal.write("endpoint.yaml", ENDPOINT)


@pytest.fixture
def alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Alone:
    return Alone(tmp_path / "h", monkeypatch, capsys)
