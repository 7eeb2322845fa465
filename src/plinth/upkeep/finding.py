"""What one probe of `plinth doctor` found, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.units.spec import NodeInfo, UnitState

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One promise: whether it holds, the fact that shows it, and what to do when it does not."""

    name: str
    status: Status
    fact: str
    todo: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Scene:
    """What every probe is given.

    `node`: what `plinth up` decided, None before the first. `settings`: the defaults when the
    file is wrong. `agent`: None when it does not answer; `units`: what it knows of.
    """

    home: Home
    node: Mapping[str, Any] | None
    settings: Settings
    variables: Mapping[str, str]
    agent: NodeInfo | None = None
    units: tuple[UnitState, ...] = ()

    @property
    def was_started(self) -> bool:
        """Tell whether `plinth up` was ever done in this home."""
        return self.node is not None

    def runs(self, unit: str) -> bool:
        """Tell whether the agent says that a unit runs."""
        return any(each.id == unit and each.phase == "running" for each in self.units)


Probe = Callable[[Scene], Finding]


def ok(name: str, fact: str) -> Finding:
    """Return that a promise holds."""
    return Finding(name, "ok", fact)


def warning(name: str, fact: str, todo: str) -> Finding:
    """Return that a promise holds for now, or only in part."""
    return Finding(name, "warning", fact, todo)


def failed(name: str, fact: str, todo: str) -> Finding:
    """Return that a promise does not hold."""
    return Finding(name, "failed", fact, todo)


def skipped(name: str, fact: str) -> Finding:
    """Return that there is nothing to probe yet."""
    return Finding(name, "skipped", fact)
