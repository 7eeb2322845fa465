"""Verbs that look after a home: backup, restore, upgrade, doctor."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from plinth.cli.output import console, counted, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, open_home
from plinth.cli.verb import verb
from plinth.client.client import Json
from plinth.kit.errors import PlinthError
from plinth.kit.home import Home
from plinth.kit.units import format_bytes, format_duration

# What people count, by database and table.
_COUNTED = (
    ("store", "team", "team"),
    ("store", "key", "key"),
    ("store", "run", "run"),
    ("store", "endpoint", "endpoint"),
    ("store", "data_version", "data version"),
    ("tracking", "model_versions", "model version"),
    ("ledger", "usage", "usage record"),
)
_INTERRUPTED = 130


def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write it, best on another disk")
    ],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Write everything that Plinth keeps here into one file, while all of it runs.

    Not in it: environments and fetched models, which are made again; what runs printed and wrote
    into their work folders; sockets. FILE holds the signing keys: whoever reads it is anybody.
    """
    options = ["--force"] if force else []
    made = _execute("backup", open_home(home), str(file), *options, quiet=as_json)
    if as_json:
        print_json(made)
        return
    _show_backup(made)
    note(
        f"wrote {made['file']}: {format_bytes(made['size_bytes'])} in "
        f"{format_duration(made['seconds'])}"
    )
    note(
        "it holds the keys that sign every API key and open every secret: keep it as you keep a "
        "password (mode 0600)"
    )
    note(f"next: `plinth restore {file} --home DIR` makes a home of it")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `plinth backup` wrote")],
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make an empty home the same as the one that was backed up.

    Teams, keys, data, models, endpoints, history and usage are as they were. What ran then ends
    as failed or is tried again by its `attempts`; endpoints serve again after `plinth up`.
    """
    made = _execute("restore", open_home(home), str(file), quiet=as_json)
    if as_json:
        print_json(made)
        return
    _show_backup(made["from"])
    for text in made["notes"]:
        note(text)
    if made["ended_runs"]:
        note(
            f"{counted(len(made['ended_runs']), 'run')} ran when the backup was made and "
            f"will end, or be tried again: {', '.join(made['ended_runs'][:10])}"
        )
    note(f"restored {made['home']} in {format_duration(made['seconds'])}")
    note(f"next: `plinth up --home {made['home']}`; stop the old Plinth for good if it still runs")


def upgrade(
    *,
    file: Annotated[
        Path | None,
        typer.Option("--backup", help="Where the backup goes [default: below the home]"),
    ] = None,
    no_backup: Annotated[
        bool, typer.Option("--no-backup", help="Make none: there is no way back then")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Bring this machine's home to the version of this program, with a backup before.

    Plinth must be down. Does nothing when everything is new already. There is no way backward but
    the backup, restored with the Plinth that wrote it.
    """
    options = ["--no-backup"] if no_backup else []
    options += ["--backup", str(file)] if file else []
    done = _execute("upgrade", open_home(home), *options, quiet=as_json)
    if as_json:
        print_json(done)
        return
    if not done["changed"]:
        note(f"everything is new already: Plinth {done['plinth']}")
        return
    rows = [[each["part"], each["from"], each["to"]] for each in done["changed"]]
    print_table(["DATABASE", "FROM", "TO"], rows, empty="")
    if done["backup"]:
        note(f"the backup from before: {done['backup']}")
    note(f"this home is Plinth {done['plinth']} now; next: `plinth up`")


def doctor(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Try what Plinth promises on this machine, and say what to do where it fails.

    Works whether Plinth runs or not, and changes nothing. Exit code 1 when a probe failed;
    warnings are about what may fail later.
    """
    found = _execute("doctor", open_home(home), quiet=as_json)
    findings = found["findings"]
    if as_json:
        print_json(found)
    else:
        _show_findings(findings)
    failures = [each["name"] for each in findings if each["status"] == "failed"]
    if failures:
        raise PlinthError(
            f"{counted(len(failures), 'probe')} failed: {', '.join(failures)}",
            code="probe_failed",
        )


def _show_findings(findings: list[Json]) -> None:
    rows = [[each["name"], each["status"], each["fact"]] for each in findings]
    print_table(["PROBE", "STATUS", "MESSAGE"], rows, empty="")
    for each in findings:
        if each["todo"]:
            console().print(f"{each['name']}: {each['todo']}", markup=False, soft_wrap=True)
    warned = sum(each["status"] == "warning" for each in findings)
    fine = sum(each["status"] == "ok" for each in findings)
    note(f"{fine} of {len(findings)} probes are well, {counted(warned, 'warning')}")


def _show_backup(made: Json) -> None:
    console().print(
        f"  made      {made['made_at']} by Plinth {made['plinth']}, of {made['home']}", markup=False
    )
    counts = [
        counted(made["counts"].get(database, {}).get(table, 0), noun)
        for database, table, noun in _COUNTED
    ]
    console().print(f"  holds     {', '.join(counts)}", markup=False, soft_wrap=True)
    sizes = [f"{room} {format_bytes(size)}" for room, size in sorted(made["sizes"].items())]
    console().print(f"  sizes     {', '.join(sizes)}", markup=False, soft_wrap=True)
    if made["missing"]:
        note(
            f"{counted(len(made['missing']), 'file')} that rows name did not exist: "
            f"{', '.join(made['missing'][:5])}"
        )


def _execute(action: str, home: Home, *options: str, quiet: bool) -> Json:
    """Execute the node's own program, which imports what the command line must not."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "plinth.upkeep",
        action,
        *options,
        "--home",
        str(home.root),
    ]
    answer: Json | None = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with _ending_with_us(process), _progress(quiet=quiet) as progress:
            answer = _read(process.stdout, progress)
    if process.returncode == _INTERRUPTED:
        raise KeyboardInterrupt
    if answer is None:
        raise PlinthError(
            f"`plinth.upkeep {action}` ended with {process.returncode}",
            hint="its words stand above",
        )
    if "error" in answer:
        error = answer["error"]
        raise PlinthError(error["message"], hint=error["hint"], code=error["code"])
    return answer


def _read(lines: IO[str], progress: Progress | None) -> Json | None:
    answer: Json | None = None
    task = None
    for line in lines:
        try:
            said: Json = json.loads(line)
        except json.JSONDecodeError:
            sys.stderr.write(line)  # not ours: a library's words, which may say why it failed
            continue
        if "progress" not in said:
            answer = said
        elif progress is not None:
            step = said["progress"]
            if task is None:
                task = progress.add_task(step["step"], total=None)
            progress.update(
                task,
                description=step["step"],
                completed=step["done"],
                total=step["total"] or None,
            )
    return answer


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress | None]:
    shown = console(to_stderr=True)
    if quiet or not shown.is_terminal:
        yield None
        return
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), DownloadColumn()]
    columns += [TransferSpeedColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=shown, transient=True) as progress:
        yield progress


@contextmanager
def _ending_with_us(process: subprocess.Popen[str]) -> Iterator[None]:
    """Have the program clean up when we are interrupted, or ended as a service manager does it."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


COMMANDS = {
    "backup": verb(backup, "backup"),
    "restore": verb(restore, "restore"),
    "upgrade": verb(upgrade, "upgrade"),
    "doctor": verb(doctor, "doctor"),
}
