"""`plinth doctor`: try each promise and say what to do for each that does not hold.

Works on a home that was never started and on one of which parts are down; changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from plinth import __version__
from plinth.kit.errors import Invalid, PlinthError, Temporary
from plinth.kit.files import read_json
from plinth.kit.home import Home
from plinth.kit.settings import Settings, load_settings
from plinth.units.client import AgentClient
from plinth.units.spec import UnitState
from plinth.upkeep.finding import Finding, Probe, Scene, failed
from plinth.upkeep.probes import machine, parts, place, records
from plinth.upkeep.progress import Report, say_nothing
from plinth.upkeep.running import ping

Json = dict[str, Any]

PROBES: tuple[Probe, ...] = (
    *place.PROBES,
    *records.PROBES,
    *machine.PROBES,
    *parts.PROBES,
)


def examine(home: Home, probes: Sequence[Probe] = PROBES, *, report: Report = say_nothing) -> Json:
    """Return what every probe found, in order, and whether all of it is well enough.

    Takes some seconds; the process must have one thread only, as isolation is probed by forks.
    """
    scene = set_scene(home)
    findings = []
    for probe in probes:
        report(f"probing: {_name_of(probe)}", 0, 0)
        findings.append(_probe(probe, scene))
    return {
        "home": str(home.root),
        "version": __version__,
        "ok": all(finding.status != "failed" for finding in findings),
        "findings": [finding.to_json() for finding in findings],
    }


def set_scene(home: Home) -> Scene:
    """Return what the probes may look at; never raises because something is wrong there."""
    try:
        settings = load_settings(home.root)
    except Invalid:
        settings = Settings()
    try:
        node = read_json(home.node_file)
    except (OSError, ValueError):
        node = {}
    agent = ping(home)
    return Scene(
        home=home,
        node=node,
        settings=settings,
        variables=os.environ,
        agent=agent,
        units=_units(home) if agent is not None else (),
    )


def _units(home: Home) -> tuple[UnitState, ...]:
    try:
        return tuple(AgentClient(home.socket("agent")).observe())
    except Temporary:
        return ()


def _name_of(probe: Probe) -> str:
    return getattr(probe, "__name__", "").removeprefix("probe_").replace("_", " ")


def _probe(probe: Probe, scene: Scene) -> Finding:
    try:
        return probe(scene)
    except (PlinthError, OSError, ValueError) as err:
        # What a probe did not expect is a finding too: the others go on.
        words = err.message if isinstance(err, PlinthError) else f"{type(err).__name__}: {err}"
        return failed(
            _name_of(probe), words, "this probe itself failed; report it with these words"
        )
