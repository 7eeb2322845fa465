"""Bring a home of an earlier version forward, with a backup before anything is changed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from plinth import __version__
from plinth.environments.environments import Environments
from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.errors import Conflict, NotFound, Permanent
from plinth.kit.files import make_private
from plinth.kit.home import Home
from plinth.kit.settings import load_settings
from plinth.metering.ledger import Ledger
from plinth.tracking.server import mlflow_packages
from plinth.upkeep.backup import back_up
from plinth.upkeep.contents import tracking_database
from plinth.upkeep.progress import Report, say_nothing
from plinth.upkeep.running import living
from plinth.upkeep.stores import open_store
from plinth.upkeep.version import Part, Standing, backups_of, standing

Json = dict[str, Any]

_MLFLOW_S = 3600.0
_TAIL = 2000


def upgrade(
    home: Home, *, file: Path | None = None, backup: bool = True, report: Report = say_nothing
) -> Json:
    """Bring every database of the home forward; return what was done, nothing when all are new.

    `file`: where the backup goes, else below the home's `backups`. `backup=False` makes none.
    Raises Conflict while Plinth runs (but when there is nothing to do) and for a home that a newer
    Plinth wrote; Permanent when MLflow's own upgrade fails.
    """
    if not home.node_file.is_file():
        raise NotFound(
            f"no Plinth was started in `{home.root}`, so there is nothing to upgrade",
            hint="`--home DIR` or PLINTH_HOME names another folder",
        )
    before = standing(home)
    if not before.older:
        return _answer(before, (), None)
    running = living(home)
    if running:
        raise Conflict(
            f"Plinth runs in `{home.root}`: {', '.join(running[:5])}",
            hint="`plinth down` first; endpoints serve again after `plinth up`",
            code="home_in_use",
        )
    made = None
    if backup:
        made = back_up(home, file or _next_file(home, before), report=report)["file"]
    for part in before.older:
        report(f"bringing the {part.name} database forward", 0, 0)
        _STEPS[part.name](home, report)
    return _answer(before, before.older, made)


def _answer(before: Standing, changed: Sequence[Part], backup: str | None) -> Json:
    return {
        "plinth": __version__,
        "written_by": before.writer,
        "parts": {part.name: part.found for part in before.parts},
        "changed": [{"part": part.name, "from": part.found, "to": part.wanted} for part in changed],
        "backup": backup,
    }


def _next_file(home: Home, before: Standing) -> Path:
    folder = make_private(backups_of(home))
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    return folder / f"schema-{before.store.found or 'none'}-before-{__version__}-{stamp}.tar"


def _upgrade_store(home: Home, _report: Report) -> None:
    store = open_store(home, load_settings(home.root))
    try:
        store.migrate()
    finally:
        store.close()


def _upgrade_ledger(home: Home, _report: Report) -> None:
    Ledger(home.ledger).close()


def _upgrade_tracking(home: Home, report: Report) -> None:
    """Have MLflow's own program do it, in MLflow's own environment."""
    environments = Environments(home.environments, find_uv_bin())
    spec = EnvironmentSpec(packages=mlflow_packages(), python=this_python())
    built = environments.build(spec, lambda step: report(f"MLflow: {step}", 0, 0))
    address = f"sqlite:///{tracking_database(home)}"
    done = subprocess.run(
        [str(built.python), "-P", "-m", "mlflow", "db", "upgrade", address],
        env=_variables(home, built.python),
        cwd=home.tracking,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_MLFLOW_S,
        check=False,
    )
    if done.returncode != 0:
        raise Permanent(
            f"MLflow could not bring its database forward:\n{done.stdout[-_TAIL:].strip()}",
            hint="restore the backup that was made before into another home; "
            "a database of a newer MLflow needs the newer Plinth",
            code="upgrade_failed",
        )


def _variables(home: Home, python: Path) -> dict[str, str]:
    return {
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home.tracking),
        "LANG": "C.UTF-8",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


_STEPS = {"store": _upgrade_store, "ledger": _upgrade_ledger, "MLflow": _upgrade_tracking}
