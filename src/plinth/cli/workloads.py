"""Verbs on workloads: run, apply, list, get, logs, stop, delete."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from plinth.cli.code import put_code
from plinth.cli.files import check_beside, read_workload, with_packages
from plinth.cli.log_piece import print_piece
from plinth.cli.output import age, console, note, print_json, print_table, words
from plinth.cli.session import HomeOption, JsonOption, connect, open_home
from plinth.cli.show import (
    served_by,
    share_of,
    show_endpoint,
    show_run,
    state_of,
    troubles_of,
)
from plinth.cli.show_batch import show_batch
from plinth.cli.verb import verb
from plinth.cli.workspace import remove as remove_workspace
from plinth.cli.workspace import show_workspace
from plinth.cli.workspace import stop as stop_workspace
from plinth.client.client import Client, Json
from plinth.domain.flow import PromptFlow
from plinth.domain.workload import Endpoint, Job
from plinth.kit.errors import Invalid, NotFound, PlinthError, Temporary
from plinth.kit.excerpt import excerpt

T = TypeVar("T")

_POLL_S = 0.3
_SYSTEM_UNITS = ("control", "envoy", "mlflow")
# How long a follower waits while neither the control plane nor the gateway answers.
_AWAY_S = 60.0
# The newest runs, ended or not, and how many that have not ended the API lists at most.
_NEWEST, _MOST_ACTIVE = 100, 1000
_FINAL = ("succeeded", "failed", "stopped")
# Once it runs, its own output tells more; its end is told once, by the verb.
_BEFORE = ("pending", "starting", "stopping")
# The longest a wait for an endpoint lasts beyond what its file allows for getting ready.
_PREPARING_S = 1800.0

TeamOption = Annotated[
    str | None, typer.Option("--team", help="Team that owns and pays [default: the file's, yours]")
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The workload's YAML file")]
TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A run's id, a job's name (its newest run), or an endpoint"
    ),
]


def run(
    file: FileArgument,
    *,
    team: TeamOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return at once; do not follow the output")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Run a job from its file, and follow what it prints to its end.

    The folder that `code` names is uploaded as it is now; the job runs from that copy. In a git
    work tree the commit and what is not committed are kept with the run, but for untracked files
    whose names say that they hold secrets.
    Interrupting (Ctrl-C) leaves the job running. Exit code 1 when the job fails.
    """
    workload = read_workload(file, team)
    if not isinstance(workload, Job):
        raise Invalid(
            f"`{file}` declares an {workload.kind}", hint=f"`plinth apply {file}` serves it"
        )
    job = with_packages(workload, file)
    with connect(home) as client:
        owner = job.team or client.whoami()["principal"]["team"]
        started = _submit(client, job, file.parent / job.code, owner)
        if detach:
            if as_json:
                print_json(started)
            else:
                note(f"run `{started['id']}` accepted; `plinth logs -f {started['id']}` follows it")
            return
        if not as_json:
            note(f"run `{started['id']}` accepted")
        try:
            ended = _follow(client, started["id"], quiet=as_json)
        except KeyboardInterrupt:
            note(f"run `{started['id']}` goes on; `plinth logs -f {started['id']}` follows it")
            raise
        if as_json:
            print_json(ended)
    if ended["phase"] != "succeeded":
        raise PlinthError(
            f"run `{ended['id']}` {ended['phase']}: {ended['message']}",
            hint=f"`plinth get {ended['id']}` shows its history",
            code="run_failed",
        )
    if not as_json:
        note(f"run `{ended['id']}` succeeded in {age(ended['started_at'], ended['ended_at'])}")


def apply(
    file: FileArgument,
    *,
    team: TeamOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return at once; do not wait until it is ready")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Serve models from an endpoint's file, or a flow from its own, and wait until they answer.

    An alias (`models:/NAME@champion`) is resolved now. What serves goes on serving until the new
    deployment has answered its model's input example through the gateway. What only the traffic,
    the limits or the timeouts say takes effect at once and restarts nothing. Of a flow the folder
    is uploaded as it is now.
    """
    workload = read_workload(file, team)
    if not isinstance(workload, Endpoint | PromptFlow):
        raise Invalid(f"`{file}` declares a {workload.kind}", hint=f"`plinth run {file}` runs it")
    with connect(home) as client:
        applied = _apply(client, workload, file)
        for each in applied.get("warnings", ()):
            note(f"warning: {each}")
        shown = applied
        if not detach:
            shown = _wait_ready(client, workload, applied, quiet=as_json)
    if as_json:
        print_json(shown)
    elif detach:
        note(f"accepted; `plinth get {workload.name}` shows how it stands")
    else:
        note(f"ready: {shown['message'].partition(': ')[2] or shown['message']}")
        serves = "answers" if shown["kind"] == "flow" else f"serves {_what(shown)}"
        note(f"{shown['kind']} `{workload.name}` {serves} at {shown['url']}")
        if _trouble(shown):
            note(f"warning: {_trouble(shown)}")


def list_all(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List everything that runs, and of the newest 100 runs those that have ended, too."""
    with connect(home) as client:
        endpoints, runs = client.endpoints(), _listed(client)
        workspaces = client.workspaces()
    if as_json:
        print_json({"endpoints": endpoints, "workspaces": workspaces, "runs": runs})
        return
    rows = [
        [
            e["name"],
            e["kind"],
            e["team"],
            state_of(e),
            age(e["created_at"]),
            (e["refused"] or _trouble(e) or e["message"]).partition("\n")[0],
        ]
        for e in endpoints
    ]
    rows += [
        [
            w["name"],
            w["kind"],
            w["team"],
            words(w["reason"]),
            age(w["created_at"]),
            w["message"].partition("\n")[0],
        ]
        for w in workspaces
    ]
    rows += [
        [
            r["id"],
            f"{r['kind']} {r['name']}",
            r["team"],
            r["phase"],
            age(r["created_at"]),
            r["message"].partition("\n")[0],
        ]
        for r in runs
    ]
    print_table(
        ["NAME", "WHAT", "TEAM", "PHASE", ">AGE", "WHY"],
        rows,
        empty="nothing yet; `plinth run FILE` runs a job, `plinth apply FILE` serves a model",
    )


def _listed(client: Client) -> list[Json]:
    """Return the runs that have not ended and the newest of all, newest first."""
    newest = client.runs(ends=True, limit=_NEWEST)
    active = client.runs(ends=True, active=True, limit=_MOST_ACTIVE)
    found = {run["id"]: run for run in [*newest, *active]}
    if len(newest) == _NEWEST:
        note("note: of runs that have ended only the newest are listed; `plinth get` shows any")
    if len(active) == _MOST_ACTIVE:
        note(f"note: more than {_MOST_ACTIVE} runs have not ended; the newest of them are listed")
    return sorted(found.values(), key=lambda run: str(run["created_at"]), reverse=True)


def _trouble(endpoint: Json) -> str:
    """Say which deployments elsewhere do not answer; empty: none."""
    return "; ".join(
        f"`{name}` is {each['state']}: {each['why']}" for name, each in troubles_of(endpoint)
    )


def get(target: TargetArgument, *, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Show one run or endpoint with its plan, its attempts and its history."""
    with connect(home) as client:
        kind, found = _find(client, target)
        if found["kind"] == "batch":
            found = client.batch(found["id"])
    if as_json:
        print_json(found)
    elif kind == "endpoint":
        show_endpoint(found)
    elif kind == "workspace":
        show_workspace(found)
    else:
        show_run(found, of_batch=show_batch if found["kind"] == "batch" else None)


def logs(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A run's id, a job's name, an endpoint, or `control`, `envoy`, `mlflow`",
        ),
    ],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends")] = False,
    attempt: Annotated[
        int | None, typer.Option(min=1, help="Which attempt [default: the newest]")
    ] = None,
    replica: Annotated[int, typer.Option(min=0, help="Which replica")] = 0,
    deployment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which deployment of an endpoint")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Print what a run, an endpoint's deployment, or a part of Plinth printed.

    Of a long output the end is kept, at least 33 MB; a note on stderr says what is missing.
    """
    with connect(home) as client:
        if target in _SYSTEM_UNITS:
            try:
                _print_unit(client, target, follow=follow)
            except Temporary:
                # What cannot be asked is often what one wants to read about.
                content = _log_file(home, target).read_bytes()
                # What was given back to the disk reads as zeros.
                print_piece(content.lstrip(b"\0"), 0, len(content))
            return
        kind, found = _find(client, target)
        run_id = _printing(kind, found, deployment)
        if follow and attempt is None and kind == "run":
            _follow(client, run_id, quiet=False)
            return
        offset, phase = 0, ""
        while True:
            content, following, phase = client.logs(
                run_id, offset=offset, attempt=attempt, replica=replica
            )
            print_piece(content, offset, following)
            offset = following
            if not content:
                if not follow or phase in _FINAL:
                    return
                time.sleep(_POLL_S)


def stop(target: TargetArgument, *, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Stop a run or an endpoint, and wait until it has stopped.

    A process gets SIGTERM, and SIGKILL after its file's `grace`.
    """
    with connect(home) as client:
        kind, found = _find(client, target)
        if kind == "workspace":
            stop_workspace(target, as_json=as_json, home=home)
            return
        if kind == "run":
            client.stop_run(found["id"])
            found = _until(lambda: client.run(found["id"]), lambda r: r["phase"] in _FINAL)
            message = f"run `{found['id']}` {found['phase']}"
        else:
            client.stop_endpoint(target)
            found = _until(lambda: client.endpoint(target), lambda e: e["reason"] == "Stopped")
            message = f"endpoint `{target}` stopped; `plinth apply FILE` serves again"
    if as_json:
        print_json(found)
    else:
        note(message)


def delete(target: TargetArgument, *, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Delete a run that has ended, or an endpoint (which is stopped first).

    What was used stays in the ledger.
    """
    with connect(home) as client:
        kind, found = _find(client, target)
        if kind == "workspace":
            remove_workspace(target, as_json=as_json, home=home)
            return
        if kind == "run":
            client.delete_run(found["id"])
            name = found["id"]
        else:
            client.delete_endpoint(target)
            _until(client.endpoints, lambda all_: target not in _names(all_))
            name = target
    if as_json:
        print_json({"deleted": name})
    else:
        note(f"{kind} `{name}` deleted")


def _submit(client: Client, job: Job, folder: Path, team: str) -> Json:
    """Upload the code, and what git says of where it came from; submit the job."""
    digest, origin = put_code(client, folder, team)
    return client.submit(job, code_digest=digest, code=origin)


def _apply(client: Client, workload: Endpoint | PromptFlow, file: Path) -> Json:
    """Write the intent to serve what the file says; a flow's folder is uploaded first."""
    if isinstance(workload, Endpoint):
        return client.apply(workload)
    flow, folder = with_packages(workload, file), file.parent / workload.code
    check_beside(flow, file)
    owner = flow.team or client.whoami()["principal"]["team"]
    digest, origin = put_code(client, folder, owner)
    return client.apply_flow(flow, code_digest=digest, code=origin)


def _find(client: Client, target: str) -> tuple[str, Json]:
    """Return what a name means: a run's id, an endpoint, or a job's newest run."""
    if target.startswith("r_"):
        return "run", client.run(target)
    with suppress(NotFound):
        return "endpoint", client.endpoint(target)
    with suppress(NotFound):
        return "workspace", client.workspace(target)
    for candidate in client.runs(ends=True, name=target, limit=1):
        return "run", client.run(candidate["id"])
    raise NotFound(
        f"there is no run, job, endpoint or workspace `{excerpt(target)}`",
        hint="`plinth list` shows what there is",
    )


def _follow(client: Client, run_id: str, *, quiet: bool) -> Json:
    """Print a run's output as it comes, with its state beside it; return the ended run."""
    offset, attempt, shown = 0, 1, None
    with console(to_stderr=True).status("", spinner="dots") as status:
        while True:
            run = _patiently(lambda: client.run(run_id), run_id)
            if run["message"] != shown and run["phase"] in _BEFORE:
                shown = run["message"]
                if not quiet and not console(to_stderr=True).is_terminal:
                    note(f"{run['phase']}: {shown}")
            status.update(f"{run['phase']}: {run['message']}")
            newest = max((a["number"] for a in run["attempts"]), default=1)
            if run["attempts"]:
                content, following = _log_piece(client, run_id, offset, attempt)
                if not quiet:
                    print_piece(content, offset, following)
                offset = following
                if not content and newest > attempt:
                    attempt, offset = attempt + 1, 0
                    continue
                if content:
                    continue
            if run["phase"] in _FINAL:
                return run
            time.sleep(_POLL_S)


def _log_piece(client: Client, run_id: str, offset: int, attempt: int) -> tuple[bytes, int]:
    def look() -> tuple[bytes, int, str]:
        return client.logs(run_id, offset=offset, attempt=attempt)

    content, following, _ = _patiently(look, run_id)
    return content, following


def _patiently(look: Callable[[], T], run_id: str) -> T:
    """Ask until there is an answer: a run goes on while parts of Plinth are away.

    Raises Temporary, naming how to follow the run later, after a minute without one.
    """
    ends_at = time.monotonic() + _AWAY_S
    while True:
        try:
            return look()
        except Temporary as err:
            if time.monotonic() > ends_at:
                hint = f"run `{run_id}` may go on; `plinth logs -f {run_id}` follows it again"
                raise Temporary(err.message, hint=hint, code=err.code) from err
        time.sleep(_POLL_S)


def _wait_ready(
    client: Client, workload: Endpoint | PromptFlow, applied: Json, *, quiet: bool
) -> Json:
    shown = None
    longest_s = max(one.ready_timeout for one in workload.by_name().values())
    ends_at = time.monotonic() + longest_s + _PREPARING_S
    with console(to_stderr=True).status("", spinner="dots") as status:
        while time.monotonic() < ends_at:
            endpoint = client.endpoint(workload.name)
            if endpoint["refused"]:
                raise PlinthError(
                    f"the gateway refuses endpoint `{workload.name}`: {endpoint['refused']}",
                    hint="it goes on with what it routed before; `plinth logs envoy` says more",
                    code="gateway_refuses",
                )
            run = _awaited(client, endpoint, applied["applied"])
            if run is None and endpoint["up_to_date"]:
                return endpoint
            said = endpoint["message"] if run is None else run["message"]
            status.update(said if run is None else f"{run['phase']}: {said}")
            is_news = run is not None and said != shown and run["phase"] in _BEFORE
            if is_news and not quiet and not console(to_stderr=True).is_terminal:
                note(f"{run['phase']}: {said}")
            shown = said
            time.sleep(_POLL_S)
    raise PlinthError(
        f"endpoint `{workload.name}` is not ready yet: {shown}",
        hint=f"`plinth get {workload.name}` shows how it stands",
    )


def _awaited(client: Client, endpoint: Json, applied: dict[str, str]) -> Any:
    """Return the first run that does not serve yet, or None. Raises PlinthError for one that ended.

    It is asked for after the endpoint was: a run that serves was ready before.
    """
    waiting = [run for name, run in applied.items() if endpoint["serving"].get(name) != run]
    runs = [client.run(each) for each in waiting]
    for run in runs:
        if run["phase"] in _FINAL and not is_taken_over(endpoint, run):
            raise PlinthError(
                f"deployment `{run['id']}` {run['phase']}: {run['message']}",
                hint=_hint_after(client.endpoint(endpoint["name"]), run["id"]),
                code="deployment_failed",
            )
    return next((run for run in runs if run["phase"] not in _FINAL), None)


def is_taken_over(endpoint: Json, run: Json) -> bool:
    """Tell whether a run was stopped because the same model serves from its ONNX form by now."""
    models = {each["id"]: (each["deployment"], each["model"]) for each in endpoint["runs"]}
    serving = [models.get(each) for each in endpoint["serving"].values()]
    return run["phase"] == "stopped" and run["id"] in models and models[run["id"]] in serving


def _what(endpoint: Json) -> str:
    """Say what serves: the model, or each deployment with its share."""
    deployments = endpoint["deployments"]
    if len(deployments) > 1:
        return ", ".join(
            f"`{name}` ({served_by(one)}, {share_of(one)})" for name, one in deployments.items()
        )
    (one,) = deployments.values()
    model = one["model"]
    return f"{model['name']} version {model['version']}" if model else f"what {served_by(one)} has"


def _hint_after(endpoint: Json, failed: str) -> str:
    hint = f"`plinth logs {failed}` shows all its server printed"
    names = {each["id"]: each["deployment"] for each in endpoint["runs"]}
    serving = endpoint["serving"].get(names.get(failed))
    return hint if serving in (None, failed) else f"{hint}; `{serving}` goes on serving"


def _until(look: Any, is_done: Any) -> Any:
    while not is_done(found := look()):
        time.sleep(_POLL_S)
    return found


def _names(endpoints: list[Json]) -> set[str]:
    return {endpoint["name"] for endpoint in endpoints}


def _printing(kind: str, found: Json, deployment: str | None) -> str:
    """Return the run whose output is meant."""
    if kind == "endpoint":
        return _deployment_of(found, deployment)
    return str(found["id" if kind == "run" else "run"])


def _deployment_of(endpoint: Json, name: str | None) -> str:
    """Return the run of a deployment, or of the first one, that serves or was started last."""
    known = endpoint["deployments"]
    if name is not None and name not in known:
        names = ", ".join(f"`{each}`" for each in known)
        raise NotFound(f"endpoint `{endpoint['name']}` has no deployment `{name}`; it has {names}")
    for each in known if name is None else [name]:
        run_id = known[each]["run"] or known[each]["next"]
        if run_id is not None:
            return str(run_id)
    for run in endpoint["runs"]:
        if name in (None, run["deployment"]):
            return str(run["id"])
    raise NotFound(
        f"endpoint `{endpoint['name']}` has no server of its own here",
        hint="what somebody else serves prints nothing to Plinth",
    )


def _print_unit(client: Client, unit_id: str, *, follow: bool) -> None:
    offset = 0
    while True:
        content, following = client.unit_logs(unit_id, offset=offset)
        print_piece(content, offset, following)
        offset = following
        if not content and not follow:
            return
        if not content:
            time.sleep(_POLL_S)


def _log_file(home: Path | None, unit: str) -> Path:
    path = open_home(home).units / unit / "log"
    if not path.is_file():
        raise NotFound(f"`{unit}` has printed nothing here", hint="`plinth up --detach` starts it")
    return path


COMMANDS = {
    "run": verb(run, "run"),
    "apply": verb(apply, "apply"),
    "list": verb(list_all, "list"),
    "get": verb(get, "get"),
    "logs": verb(logs, "logs"),
    "stop": verb(stop, "stop"),
    "delete": verb(delete, "delete"),
}
