"""Verbs on the node: up, status, down, version."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from plinth import __version__
from plinth.cli.output import age, console, counted, note, print_json, print_table
from plinth.cli.session import (
    HomeOption,
    JsonOption,
    connect,
    connect_as_administrator,
    open_home,
)
from plinth.cli.verb import verb
from plinth.client.client import Json
from plinth.kit.errors import Conflict, Invalid, PlinthError, Temporary, Unauthenticated
from plinth.kit.home import Home
from plinth.kit.units import format_bytes

_POLL_S = 0.3
# Building MLflow's environment downloads some 600 MB the first time.
_READY_S = 1800.0
# For how long the key of the token file may be refused while the control plane starts.
_REFUSED_S = 60.0
# A job has this long to stop by itself before the agent ends it.
_STOP_S = 30.0
_MOST_RUNS = 1000
# They begin where they were, after the next `plinth up`; stopped by name they would have ended.
_GOES_ON = ("batch", "requests")
# What the platform does by itself, and does again.
_OURS = ("conversion",)
_UP_AGAIN = "`plinth up --detach` starts what is missing and leaves what runs"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def up(
    *,
    home: HomeOption = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            envvar="PLINTH_PORT",
            help="Port of the one address [default: 8470]",
        ),
    ] = None,
    bind: Annotated[
        str, typer.Option(help="Address to listen on; only loopback is possible for now")
    ] = "127.0.0.1",
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when Plinth is ready; it goes on running")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start Plinth on this machine: Envoy, the control plane, MLflow.

    The first time, MLflow's environment is built (some minutes without a package cache). Doing it
    again starts only what is missing. Without --detach, Ctrl-C stops Plinth.
    """
    if bind not in _LOOPBACK:
        raise Invalid(
            f"`--bind {bind}` would open Plinth to the network, which it cannot protect yet; "
            f"allowed: {', '.join(_LOOPBACK)}",
            hint="reach it from elsewhere through a tunnel: `ssh -L 8470:127.0.0.1:8470 HOST`",
        )
    place = open_home(home)
    started = _node("up", place, *(["--port", str(port)] if port else []))
    if detach or as_json:
        _report_ready(place, started, as_json=as_json)
        return
    with _stopping_when_asked(place):
        _report_ready(place, started, as_json=False)
        note("Ctrl-C stops it")
        while True:
            time.sleep(3600)


def _report_ready(home: Home, started: Json, *, as_json: bool) -> None:
    ready = _wait_ready(home, quiet=as_json)
    if as_json:
        print_json({**started, "status": ready})
    elif started["already"]:
        note(f"Plinth runs already at {started['address']} (home {started['home']})")
        note("`plinth status` shows its parts; `plinth down` stops it")
    else:
        note(f"Plinth is ready at {started['address']} (home {started['home']})")
        note("next: `plinth run FILE` runs a job, `plinth status` shows every part")


def status(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Show every part of Plinth and every unit, with age, restarts and memory.

    ISOLATION is the level a job or model server runs at, from 0 (none) to 3 (a file system of its
    own; docs/decisions/0005). Exit code 1 when a part is not ready.
    """
    place = open_home(home)
    try:
        with connect(home) as client:
            seen = client.status(memory=True)
    except Temporary as err:
        seen = _node("status", place)
        if not seen["started"]:
            raise
        if as_json:
            print_json(seen)
        elif seen["node"] is None:
            rows = [[unit, "running"] for unit in seen["living"]]
            print_table(["UNIT", "PHASE"], rows, empty=f"nothing runs of `{place.root}`")
        else:
            _show_units(seen["units"])
        raise PlinthError(
            _what_is_away(seen, err),
            hint=f"{_UP_AGAIN}; `plinth logs control` may say why",
            code=err.code,
        ) from err
    if as_json:
        print_json(seen)
    else:
        _show_status(seen)
    missing = _missing(seen)
    if missing:
        hint = "`plinth logs envoy` and `plinth logs mlflow` may say why"
        if seen["node"] is None:
            hint = _UP_AGAIN
        raise PlinthError(f"not ready: {', '.join(missing)}", hint=hint, code="not_ready")


def down(
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also while jobs, batches or cells run")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Stop Plinth: the endpoints' servers, MLflow, the control plane, Envoy.

    Endpoints serve again after the next `plinth up`, and batches go on. Running jobs, and cells of
    workspaces, would be lost: while anything runs this is refused, but with --force. Nothing that
    was stored is lost.
    """
    place = open_home(home)
    runs = _running(place)
    jobs = [run["id"] for run in runs if run["kind"] not in _GOES_ON]
    if force:
        if jobs:
            _stop_jobs(place, jobs)
    else:
        _require_nothing_runs(runs, _busy_workspaces(place))
    stopped = _node("down", place)
    if as_json:
        print_json(stopped)
    elif stopped["stopped"]:
        note(f"stopped {counted(stopped['stopped'], 'unit')}; `plinth up` starts Plinth again")
    else:
        note(f"no Plinth runs in `{place.root}`")


def version(*, as_json: JsonOption = False) -> None:
    """Print the version of this program."""
    if as_json:
        print_json({"version": __version__})
    else:
        sys.stdout.write(f"{__version__}\n")


def _node(action: str, home: Home, *options: str) -> Json:
    """Execute the node's own program, which imports what the command line must not."""
    program = "plinth.node" if action == "up" else "plinth.upkeep.shutdown"
    node = (program, action, "--home", str(home.root), *options)
    command = [sys.executable, "-P", "-m", "plinth.kit.launch", *node]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        answer: Json = json.loads(done.stdout)
    except json.JSONDecodeError as err:
        raise PlinthError(
            f"`{program} {action}` ended with {done.returncode}", hint="its words stand above"
        ) from err
    if "error" in answer:
        error = answer["error"]
        raise PlinthError(error["message"], hint=error["hint"], code=error["code"])
    return answer


def _wait_ready(home: Home, *, quiet: bool) -> Json:
    ends_at = time.monotonic() + _READY_S
    shown, spoken = "", console(to_stderr=True)
    refused_at: float | None = None
    with spoken.status("starting", spinner="dots") as spinner:
        while time.monotonic() < ends_at:
            try:
                seen, text = _look(home)
                refused_at = None
            except Unauthenticated as err:
                # The token file is written by the control plane as it starts.
                seen, text = None, "the control plane is starting"
                refused_at = refused_at or time.monotonic()
                if time.monotonic() > refused_at + _REFUSED_S:
                    raise _refused(home, err) from err
            if seen is not None and not _missing(seen):
                return seen
            spinner.update(text)
            if text != shown and not quiet and not spoken.is_terminal:
                note(text)
            shown = text
            time.sleep(_POLL_S)
    raise Temporary(f"Plinth is not ready yet: {shown}", hint="`plinth status` shows how it stands")


def _refused(home: Home, error: Unauthenticated) -> Unauthenticated:
    return Unauthenticated(
        f"the control plane refuses the key in `{home.admin_token}`: {error.message}",
        hint="`plinth down --force`, then `plinth up --detach`: it makes a new key as it starts",
    )


def _look(home: Home) -> tuple[Json | None, str]:
    try:
        with connect_as_administrator(home) as client:
            seen = client.status()
    except Temporary:
        return None, "the control plane is starting"
    missing = _missing(seen)
    return seen, f"waiting for {', '.join(missing)}"


def _missing(seen: Json) -> list[str]:
    missing = []
    if not seen["gateway"]["ready"]:
        missing.append("the gateway")
    if not seen["tracking"]["ready"]:
        missing.append(f"MLflow ({seen['tracking']['state']})")
    if seen["node"] is None:
        missing.append("the node agent")
    return missing


def _what_is_away(seen: Json, error: Temporary) -> str:
    """Return which parts do not run, as the node says it; `error`: what a call ended with."""
    if seen["node"] is None:
        away, living = ["the node agent"], seen["living"]
    else:
        away, living = [], [u["id"] for u in seen["units"] if u["phase"] == "running"]
    if not any(unit.startswith("control") for unit in living):
        away.append("the control plane")
    if "envoy" not in living:
        away.append("the gateway")
    return f"not running: {', '.join(away)}" if away else error.message


def _running(home: Home) -> list[Json]:
    """Return the runs that somebody waits for; not what the platform does by itself."""
    try:
        with connect_as_administrator(home) as client:
            runs = client.runs(ends=True, active=True, limit=_MOST_RUNS)
    except (Temporary, Unauthenticated):
        return []  # the control plane is down, so nobody can tell; stopping is what is asked
    return [run for run in runs if run["kind"] not in _OURS]


def _busy_workspaces(home: Home) -> list[str]:
    """Return, of each workspace in which a cell runs, what it says of itself just now."""
    found = []
    try:
        with connect_as_administrator(home) as client:
            for each in client.workspaces():
                try:
                    if each["desired"] == "run":
                        client.stop_workspace(each["name"], ask=True)
                except Conflict as err:
                    found.append(err.message)
    except (Temporary, Unauthenticated):
        return []
    return found


def _require_nothing_runs(runs: list[Json], busy: list[str]) -> None:
    if not runs and not busy:
        return
    names = [f"{run['kind']} {run['name']} ({run['id']})" for run in runs]
    would = [f"{counted(len(runs), 'run')} would be stopped: {', '.join(names)}"] if runs else []
    looks = ["`plinth logs -f NAME`"] if runs else []
    looks += ["`plinth workspace get NAME`"] if busy else []
    hint = f"wait ({', '.join(looks)}), or `plinth down --force`"
    if any(run["kind"] in _GOES_ON for run in runs):
        hint += "; a batch then goes on after the next `plinth up`"
    raise Conflict("; ".join([*would, *busy]), hint=hint, code="jobs_running")


def _stop_jobs(home: Home, run_ids: list[str]) -> None:
    """Have jobs stop as `plinth stop` does, so that they end as stopped and not as failed.

    Where that cannot be written (a full disk) they are stopped with the node all the same.
    """
    ends_at = time.monotonic() + _STOP_S
    try:
        with connect_as_administrator(home) as client:
            for run_id in run_ids:
                client.stop_run(run_id)
            while time.monotonic() < ends_at:
                active = {run["id"] for run in client.runs(ends=True, active=True)}
                if active.isdisjoint(run_ids):
                    return
                time.sleep(_POLL_S)
    except Temporary as err:
        note(f"{err.message}: jobs that are stopped now will count as failed")


@contextmanager
def _stopping_when_asked(home: Home) -> Iterator[None]:
    """Stop the node when this program is interrupted, or ended as a service manager does it."""
    # Also SIGINT: a script's background process begins with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        note("stopping")
        _node("down", home)


def _show_status(seen: Json) -> None:
    node = seen["node"]
    level = node["isolation_level"] if node else "unknown"
    lines = [
        ("address", seen["address"]),
        ("home", seen["home"]),
        ("version", seen["version"]),
        ("gateway", "ready" if seen["gateway"]["ready"] else "not ready"),
        ("MLflow", seen["tracking"]["state"]),
        ("isolation", f"level {level} for jobs and model servers"),
    ]
    lines += _usage_lines(seen["usage"])
    lines += [("building", f"{label}: {step}") for label, step in seen["building"].items()]
    lines += [("error", f"{name}: {text}") for name, text in seen["errors"].items()]
    for name, text in lines:
        console().print(f"  {name:<10}  {text}", markup=False)
    console().print()
    if node is None:
        note("the node agent does not answer, so nobody can tell which units run")
    else:
        _show_units(seen["units"])


def _usage_lines(usage: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is missing in the usage, if anything is."""
    lines = []
    if usage["latest_gaps"]:
        latest = usage["latest_gaps"][-1]
        lines.append(
            (
                "usage",
                f"{counted(usage['gaps'], 'gap')}, the latest {latest['started_at']} to "
                f"{latest['ended_at']} ({latest['reason']}); `plinth usage --gaps` lists all",
            )
        )
    if usage["unreadable_lines"]:
        lines.append(
            ("usage", f"{counted(usage['unreadable_lines'], 'line')} of logs cannot be read")
        )
    return lines


def _phase_of(unit: dict[str, Any]) -> str:
    workers = unit.get("workers")
    if workers is None:
        return str(unit["phase"])
    return f"{unit['phase']}, {counted(workers, 'worker')}" if workers else "asleep"


def _show_units(units: list[dict[str, Any]]) -> None:
    alive = [unit for unit in units if unit["phase"] in ("starting", "running")]
    rows = [
        [
            unit["id"],
            unit.get("workload") or "Plinth itself",
            _phase_of(unit),
            unit["pid"],
            age(unit["started_at"]),
            unit["restarts"],
            format_bytes(unit["memory_bytes"]) if unit["memory_bytes"] else None,
            unit["isolation"],
        ]
        for unit in alive
    ]
    columns = ["UNIT", "WHAT", "PHASE", ">PID", ">AGE", ">RESTARTS", ">MEMORY", ">ISOLATION"]
    print_table(columns, rows, empty="no units run")
    ended = len(units) - len(alive)
    if ended:
        note(f"not shown: {counted(ended, 'unit')} that ended; `plinth list` shows all runs")


COMMANDS = {
    "up": verb(up, "up"),
    "status": verb(status, "status"),
    "down": verb(down, "down"),
    "version": verb(version, "version"),
}
