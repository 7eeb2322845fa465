"""Verbs on batches: answer many files by a model, watch it, bring the result."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from plinth.cli.files import read_workload
from plinth.cli.output import age, console, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.show_batch import rate_of
from plinth.cli.verb import verbs
from plinth.cli.workloads import FileArgument, TeamOption
from plinth.client.client import Client, Json
from plinth.client.data_files import find_files, send_files
from plinth.domain.batch import BatchInference
from plinth.kit.errors import Conflict, Invalid, PlinthError, Temporary
from plinth.kit.excerpt import excerpt

_POLL_S = 0.5
# How long a follower waits while neither the control plane nor the gateway answers.
_AWAY_S = 60.0
_FINAL = ("succeeded", "failed", "stopped")
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or its name")]


def list_batches(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List batches, newest first, with how far they are."""
    with connect(home) as client:
        found = [client.batch(run["id"]) for run in client.runs(kind="batch")]
    if as_json:
        print_json(found)
        return
    rows = [
        [run["id"], run["name"], run["team"], run["phase"], age(run["created_at"]), _told(run)]
        for run in found
    ]
    columns = ["RUN", "NAME", "TEAM", "PHASE", ">AGE", "WHY"]
    print_table(columns, rows, empty="no batches yet; `plinth batch run FILE` runs one")


def run(
    file: FileArgument,
    *,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Take over what this ended run has finished"),
    ] = None,
    team: TeamOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return at once; do not follow it")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Answer every row by a model, and follow it to its end.

    What `files` names is uploaded as a data version first; files that are there are not sent
    again. Interrupting (Ctrl-C) leaves the batch running. Exit code 1 when it fails.
    """
    batch = read_workload(file, team)
    if not isinstance(batch, BatchInference):
        raise Invalid(
            f"`{file}` is of kind `{batch.kind}`; accepted here: `batch`",
            hint=f"`plinth run {file}` runs a job",
        )
    if resume is not None:
        batch = BatchInference.model_validate(
            batch.model_dump(exclude_unset=True) | {"kind": "batch", "resume": resume}
        )
    with connect(home) as client:
        started = client.submit_batch(_with_data(client, batch, file))
        run_id = started["id"]
        if detach:
            if as_json:
                print_json(started)
            else:
                note(f"run `{run_id}` accepted; `plinth get {run_id}` shows how far it is")
            return
        if not as_json:
            note(f"run `{run_id}` accepted")
        try:
            ended = _follow(client, run_id, quiet=as_json)
        except KeyboardInterrupt:
            note(f"run `{run_id}` goes on; `plinth get {run_id}` shows how far it is")
            raise
    if as_json:
        print_json(ended)
    if ended["phase"] != "succeeded":
        raise PlinthError(
            f"run `{run_id}` {ended['phase']}: {ended['message']}",
            hint=f"`plinth batch output {run_id} FOLDER` brings what is finished, and what was set "
            f"aside; `plinth batch run {file} --resume {run_id}` goes on with it",
            code="run_failed",
        )
    if not as_json:
        took = age(ended["started_at"], ended["ended_at"])
        note(f"run `{run_id}` succeeded in {took}: {ended['message']}")
        note(f"`plinth batch output {run_id} FOLDER` brings it")


def output(
    target: RunArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to, new or empty")],
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Bring what a batch wrote into a folder that is new or empty.

    Parts of the output, the rows that were set aside in `quarantine/`, and `manifest.json`; of a
    batch that did not come to its end what it finished.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(
            f"`{folder}` is not an empty folder", hint="name a folder that is new or empty"
        )
    with connect(home) as client:
        run_id = _run_of(client, target)
        listed = client.batch_files(run_id)
        names = listed["files"]
        if not names:
            raise Conflict(f"run `{run_id}` is {listed['phase']} and has finished nothing yet")
        with console(to_stderr=True).status("") as status:
            for number, name in enumerate(names, 1):
                status.update(f"{number:,} of {len(names):,} files")
                # Parts of the output stand beside the manifest.
                client.fetch_batch_file(run_id, name, folder / name.removeprefix("output/"))
    if as_json:
        print_json({"run": run_id, "phase": listed["phase"], "folder": str(folder), "files": names})
        return
    rest = "" if listed["phase"] == "succeeded" else f"; the run is {listed['phase']}"
    note(f"{len(names):,} files are in `{folder}`{rest}")


def _with_data(client: Client, batch: BatchInference, file: Path) -> BatchInference:
    """Return the batch with its files sent as a data version, which it names then."""
    if not batch.files:
        return batch
    found = find_files(batch.files, file.parent)
    with console(to_stderr=True).status("reading the files") as status:
        version = send_files(
            client,
            f"{batch.name[:34]}-input",
            found,
            team=batch.team,
            as_is=True,
            told=lambda sent, of: status.update(f"{sent:,} of {of:,} files are there"),
        )
    note(f"{len(found):,} files are `{version['name']}@{version['version']}`")
    given = batch.model_dump(exclude_unset=True) | {"kind": "batch"}
    given.pop("files")
    given["data"] = f"{version['name']}@{version['version']}"
    return BatchInference.model_validate(given)


def _follow(client: Client, run_id: str, *, quiet: bool) -> Json:
    """Show how far a batch is until it has ended; return it."""
    stderr = console(to_stderr=True)
    shown = None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(*columns, console=stderr, transient=True, disable=quiet) as bar:
        task = bar.add_task("waiting", total=None, rate="")
        while True:
            found = _patiently(client, run_id)
            progress = found["batch"]["progress"]
            is_counted = progress["rows"] and progress["rows_done"]
            words = progress["step"] if found["phase"] == "running" else found["message"]
            bar.update(
                task,
                description=words,
                total=progress["rows"] if is_counted else None,
                completed=progress["rows_done"],
                rate=rate_of(progress),
            )
            if words != shown and not quiet and not stderr.is_terminal:
                note(f"{found['phase']}: {words}")
                shown = words
            if found["phase"] in _FINAL:
                return found
            time.sleep(_POLL_S)


def _patiently(client: Client, run_id: str) -> Json:
    """Ask until there is an answer: a batch goes on while parts of Plinth are away."""
    ends_at = time.monotonic() + _AWAY_S
    while True:
        try:
            return client.batch(run_id)
        except Temporary as err:
            if time.monotonic() > ends_at:
                hint = f"run `{run_id}` may go on; `plinth get {run_id}` shows how far it is"
                raise Temporary(err.message, hint=hint, code=err.code) from err
        time.sleep(_POLL_S)


def _run_of(client: Client, target: str) -> str:
    if target.startswith("r_"):
        return target
    for candidate in client.runs(kind="batch", limit=1000):
        if candidate["name"] == target:
            return str(candidate["id"])
    raise Invalid(
        f"there is no batch `{excerpt(target)}`", hint="`plinth batch list` shows what there is"
    )


def _told(run: Json) -> Any:
    if run["phase"] in _FINAL:
        return run["message"].partition("\n")[0]
    return run["batch"]["words"] if run["phase"] == "running" else run["message"]


COMMANDS = {
    "batch": verbs(
        "batch",
        list_batches,
        {"list": list_batches, "run": run, "output": output},
        "Answer many files by a model, watch it, bring the result.",
    )
}
