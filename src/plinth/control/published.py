"""What the gateway has acknowledged, noted in files beside its own; every control plane reads them.

They are not synced to the disk: after a power cut they may be empty, and then it is asked anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from plinth.domain.traffic import EndpointRoute
from plinth.kit.home import Home

_ROUTES: TypeAdapter[tuple[EndpointRoute, ...]] = TypeAdapter(tuple[EndpointRoute, ...])


@dataclass(frozen=True, slots=True)
class Refused:
    """Why Envoy does not take what an endpoint's file (of that version) says."""

    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Published:
    """What the gateway runs: the version, and what serves each endpoint, by deployment's name.

    `deployments`: all that it routes to, candidates among them. `files`: by endpoint the version
    of the file that it runs. `refused`: by endpoint what it does not run. `credentials`: by
    deployment why it has not the newest value of its credential. `is_settled`: not while another
    version is being handed over, which it may run already.
    """

    version: str
    serving: dict[str, dict[str, str]]
    deployments: frozenset[str]
    files: dict[str, str]
    refused: dict[str, Refused] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)
    is_guarded: bool = False
    is_settled: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "version": self.version,
            "serving": self.serving,
            "deployments": sorted(self.deployments),
            "files": self.files,
            "refused": {name: [each.version, each.reason] for name, each in self.refused.items()},
            "credentials": self.credentials,
            "is_guarded": self.is_guarded,
            "is_settled": self.is_settled,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Published:
        """Read what `to_json` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        refused = {name: Refused(*each) for name, each in value["refused"].items()}
        deployments = frozenset(value["deployments"])
        return cls(**{**value, "deployments": deployments, "refused": refused})


class Record:
    """The files of one node's gateway in which that is noted."""

    def __init__(self, home: Home) -> None:
        self._path = home.gateway_record
        self._routes = home.gateway / "routes.json"

    def read(self) -> Published | None:
        """Return what Envoy has acknowledged; None before the first time."""
        try:
            return Published.from_json(json.loads(self._path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            # Another version of Plinth may have noted more, or less.
            return None

    def write(self, published: Published, check: Callable[[], None]) -> None:
        """Note it; `check` raises when somebody else is to do that by now."""
        _replace(self._path, json.dumps(published.to_json()).encode(), check)

    def routes(self) -> tuple[EndpointRoute, ...]:
        """Return the endpoints as Envoy took them last; none where that is not known."""
        try:
            return _ROUTES.validate_json(self._routes.read_bytes())
        except (FileNotFoundError, ValidationError):
            return ()

    def write_routes(self, routes: Sequence[EndpointRoute], check: Callable[[], None]) -> None:
        """Note the endpoints as Envoy took them."""
        _replace(self._routes, _ROUTES.dump_json(tuple(routes)), check)


def _replace(path: Path, content: bytes, check: Callable[[], None]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.write_bytes(content)
    check()
    draft.replace(path)
