"""The verb `workspace`: notebooks in the browser, on compute that stops when nobody works."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from plinth.cli.files import read_workload, with_packages
from plinth.cli.open import show_link
from plinth.cli.output import age, console, note, print_json, print_table, words
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verbs
from plinth.client.client import Client, Json
from plinth.domain.base import check_name
from plinth.domain.mistake import told
from plinth.domain.web_page import workspace_of_page, workspace_page
from plinth.domain.workspace import PROFILES, GpuUse, Workspace
from plinth.kit.errors import Conflict, Invalid, NotFound, PlinthError
from plinth.kit.units import format_bytes, format_duration

_POLL_S = 0.3
_PREPARING_S = 1800.0
_BUSY, _OPEN = "workspace_busy", "workspace_open"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The workspace")]
ForceOption = Annotated[bool, typer.Option("--force", help="Also while a cell runs; it is lost")]
GpuReasonOption = Annotated[
    str | None, typer.Option("--gpu-reason", metavar="TEXT", help="What a GPU is needed for")
]
GpuTimeOption = Annotated[
    str | None,
    typer.Option("--gpu-time", metavar="TIME", help="For how long at most, like `4h`"),
]
PrintOption = Annotated[bool, typer.Option("--print", help="Print the link and open nothing")]


def list_workspaces(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List workspaces: whose, what goes on, when they stop."""
    with connect(home) as client:
        found = client.workspaces()
    if as_json:
        print_json(found)
        return
    rows = [
        [
            each["name"],
            each["team"],
            "everybody" if each["shared"] else each["owner_name"] or each["owner"],
            each["tool"],
            each["profile"],
            _state(each),
            age(each["started_at"]) if _is_open(each) else None,
            _left(each),
            each["message"].partition("\n")[0],
        ]
        for each in found
    ]
    columns = ["NAME", "TEAM", "FOR", "TOOL", "PROFILE", "STATE", ">OPEN", ">STOPS IN", "WHY"]
    print_table(columns, rows, empty="no workspaces; `plinth workspace up NAME` opens one")


def up(  # noqa: PLR0913 - each is an option of the verb
    target: Annotated[
        str, typer.Argument(metavar="FILE|NAME", help="Its YAML file, or a name for a plain one")
    ],
    *,
    team: Annotated[
        str | None, typer.Option("--team", help="Team that owns and pays [default: the file's]")
    ] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="`jupyterlab` or `marimo`")] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="`small`, `medium`, `large`, `gpu`, ...")
    ] = None,
    gpu_reason: GpuReasonOption = None,
    gpu_time: GpuTimeOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return at once; do not wait until it is open")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Open a workspace, and wait until it answers.

    A name for which there is no file makes a plain one. The options say otherwise than the file.
    """
    workload = _read(target, team, tool=tool, profile=profile, gpu=_gpu(gpu_reason, gpu_time))
    with connect(home) as client:
        found = client.workspace_up(workload)
        if not detach:
            found = _wait_open(client, found, quiet=as_json)
    _tell_open(found, detach=detach, as_json=as_json)


def start(
    name: NameArgument,
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return at once; do not wait until it is open")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Open a workspace again as it was, with the same files."""
    with connect(home) as client:
        found = client.start_workspace(name)
        if not detach:
            found = _wait_open(client, found, quiet=as_json)
    _tell_open(found, detach=detach, as_json=as_json)


def stop(
    name: NameArgument,
    *,
    force: ForceOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Stop a workspace, and wait until it has stopped; its files stay.

    While a cell runs it asks first, and where nobody can be asked it is refused.
    """
    with connect(home) as client:
        _ask_stop(client, name, force=force)
        found = _until(lambda: client.workspace(name), _is_stopped)
    if as_json:
        print_json(found)
    else:
        note(f"workspace `{name}` stopped; `plinth workspace start {name}` opens it again")


def open_workspace(
    name: NameArgument,
    *,
    only_print: PrintOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Sign a browser in, and open a workspace's page.

    The link works once.
    """
    with connect(home) as client:
        plain, found = _by_name_or_page(client, name)
        link = client.sign_in(workspace_page(plain))
    if as_json:
        print_json(link)
        return
    if not _is_open(found):
        note(f"it is not open; `plinth workspace start {plain}` opens it")
    show_link(plain, link, only_print=only_print)


def get(name: NameArgument, *, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Show a workspace: what goes on, and when it stops."""
    with connect(home) as client:
        found = client.workspace(name)
    if as_json:
        print_json(found)
        return
    show_workspace(found)


def resize(
    name: NameArgument,
    *,
    profile: Annotated[str, typer.Option("--profile", help="`small`, `medium`, `large`, `gpu`")],
    gpu_reason: GpuReasonOption = None,
    gpu_time: GpuTimeOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Give a workspace another size; its files stay.

    One that is open is stopped first, as `stop` does, and opened again. It stays as it is when it
    cannot have that size.
    """
    gpu = _gpu(gpu_reason, gpu_time)
    _require_reason(profile, gpu)
    with connect(home) as client:
        dropped = _own_resources(client.workspace(name))
        try:
            found, was_open = client.resize_workspace(name, profile, gpu), False
        except Conflict as err:
            # All else is looked at before: it may have that size.
            if err.code != _OPEN:
                raise
            was_open = _is_open(client.workspace(name))
            if was_open:
                _ask_stop(client, name, force=force, verb="resize")
            _until(lambda: client.workspace(name), _is_stopped)
            found = client.resize_workspace(name, profile, gpu)
        if was_open:
            found = _wait_open(client, client.start_workspace(name), quiet=as_json)
    if as_json:
        print_json(found)
    else:
        note(f"workspace `{name}` has profile `{profile}`" + (" and is open" if was_open else ""))
        if dropped:
            note(f"what its `resources` said ({', '.join(dropped)}) counts no longer")


def remove(
    name: NameArgument,
    *,
    force: ForceOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Stop a workspace and forget its name; its files stay."""
    with connect(home) as client:
        try:
            client.delete_workspace(name, force=force)
        except Conflict as err:
            if err.code != _BUSY or not _confirmed(err):
                raise _with_force(err, name, "rm") from err
            client.delete_workspace(name, force=True)
        _until(client.workspaces, lambda all_: name not in {each["name"] for each in all_})
    if as_json:
        print_json({"deleted": name})
    else:
        note(f"workspace `{name}` removed; its files stay")


def show_workspace(found: Json) -> None:
    """Print one workspace for people."""
    activity = found["activity"]
    seen = [
        f"{activity['kernels']} kernels",
        f"{len(activity['busy'])} busy",
        f"{activity['terminals']} terminals",
        f"{activity['connections']} connections",
        f"{activity['cpu']:g} cores",
    ]
    if activity["memory_bytes"] is not None:
        seen.append(format_bytes(activity["memory_bytes"]))
    rows = [
        ["workspace", found["name"]],
        ["team", found["team"]],
        ["for", "everybody of the team" if found["shared"] else found["owner_name"]],
        ["tool", f"{found['tool']}, profile {found['profile']}"],
        ["state", f"{_state(found)}: {found['message']}"],
        ["page", found["url"]],
    ]
    if _is_open(found):
        rows.append(["goes on", ", ".join(seen)])
        rows.append(["stops in", _stops(found)])
    if activity["ready_s"] is not None:
        rows.append(["open after", format_duration(activity["ready_s"])])
    if activity["first_cell_s"] is not None:
        rows.append(["first cell", f"{format_duration(activity['first_cell_s'])} after the start"])
    for label, value in rows:
        sys.stdout.write(f"{label:<11} {value}\n")
    sys.stdout.write("\n")
    print_table(
        [">AGO", "WHAT", "WHY"],
        [
            [age(event["at"]), words(event["reason"]), event["message"]]
            for event in found["events"][-12:]
        ],
        empty="nothing has happened yet",
    )


def _read(
    target: str,
    team: str | None,
    *,
    tool: str | None,
    profile: str | None,
    gpu: Json | None,
) -> Workspace:
    file = Path(target)
    said: dict[str, Any] = {"kind": "workspace"}
    # A folder is none, though it is called the same.
    if file.suffix or (file.exists() and not file.is_dir()):
        workload = read_workload(file, team)
        if not isinstance(workload, Workspace):
            raise Invalid(
                f"`{target}` declares a {workload.kind}", hint="a workspace has `kind: workspace`"
            )
        workload = with_packages(workload, file)
        said = workload.model_dump(exclude_unset=True)
        if profile is not None:
            # Its size came from the profile that it says.
            said.pop("resources", None)
    else:
        said["name"] = target
    asked = {"tool": tool, "profile": profile, "gpu": gpu, "team": team}
    said |= {name: value for name, value in asked.items() if value is not None}
    _require_reason(profile, said.get("gpu"))
    try:
        check_name(str(said["name"]))
        return Workspace.model_validate(said)
    except ValidationError as err:
        raise Invalid(told(err, Workspace)) from err
    except ValueError as err:
        raise Invalid(str(err), hint=f"there is no file `{target}` either") from err


def _gpu(reason: str | None, most: str | None) -> Json | None:
    if reason is None and most is None:
        return None
    if reason is None or most is None:
        raise Invalid(
            "a GPU is given for a reason and a time", hint="give --gpu-reason and --gpu-time"
        )
    try:
        return GpuUse(reason=reason, max_time=most).model_dump()  # type: ignore[arg-type]
    except ValidationError as err:
        raise Invalid(told(err, GpuUse)) from err


def _require_reason(profile: str | None, gpu: Json | None) -> None:
    """Raise Invalid for a profile with a GPU and nothing that says what for."""
    if gpu is None and "accelerator" in PROFILES.get(profile or "", {}):
        raise Invalid(
            f"profile `{profile}` has a GPU, which is given for a reason and a time",
            hint="give --gpu-reason and --gpu-time",
        )


def _own_resources(found: Json) -> list[str]:
    """Return what a workspace's file says of its size otherwise than its profile."""
    return [*Workspace.model_validate(found["workload"]).own_resources]


def _by_name_or_page(client: Client, name: str) -> tuple[str, Json]:
    """Return a workspace by its name, or by the host that its page has, and what it is called."""
    page, _, is_host = name.partition(".localhost")
    plain = workspace_of_page(page) or page
    if not is_host:
        try:
            return name, client.workspace(name)
        except NotFound:
            if plain == name:
                raise
    return plain, client.workspace(plain)


def _with_force(err: Conflict, name: str, verb: str) -> Conflict:
    """Return the error with what to type for this very verb."""
    if err.code != _BUSY:
        return err
    hint = f"wait for it, or `plinth workspace {verb} {name} --force`"
    return Conflict(err.message, hint=hint, code=err.code)


def _ask_stop(client: Client, name: str, *, force: bool, verb: str = "stop") -> None:
    """Ask it to stop; where a cell runs, ask the person first."""
    try:
        client.stop_workspace(name, force=force)
    except Conflict as err:
        if err.code != _BUSY or not _confirmed(err):
            raise _with_force(err, name, verb) from err
        client.stop_workspace(name, force=True)


def _confirmed(busy: PlinthError) -> bool:
    """Ask whether to stop what is busy; False where nobody can be asked."""
    if not _can_ask():
        return False
    note(busy.message)
    return typer.confirm("Stop it all the same?", default=False, err=True)


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _wait_open(client: Client, found: Json, *, quiet: bool) -> Json:
    """Wait until it answers. Raises PlinthError when its session ended first."""
    name, shown = found["name"], None
    ends_at = time.monotonic() + _PREPARING_S
    with console(to_stderr=True).status("", spinner="dots") as status:
        while time.monotonic() < ends_at:
            found = client.workspace(name)
            if _is_ready(found):
                return found
            if found["desired"] != "run":
                raise PlinthError(
                    f"workspace `{name}` did not open: {found['message']}",
                    hint=f"`plinth logs {found['run']}` shows what it printed",
                    code="run_failed",
                )
            said = found["message"]
            status.update(f"{found['phase']}: {said}")
            if said != shown and not quiet and not console(to_stderr=True).is_terminal:
                note(f"{found['phase']}: {said}")
            shown = said
            time.sleep(_POLL_S)
    raise PlinthError(
        f"workspace `{name}` is not open yet: {shown}",
        hint=f"`plinth workspace get {name}` shows how it stands",
    )


def _tell_open(found: Json, *, detach: bool, as_json: bool) -> None:
    name = found["name"]
    if as_json:
        print_json(found)
    elif detach:
        note(f"accepted; `plinth workspace get {name}` shows how it stands")
    else:
        after = found["activity"]["ready_s"]
        took = f" after {format_duration(after)}" if after is not None else ""
        note(f"workspace `{name}` is open{took}; `plinth workspace open {name}` shows it")


def _until(look: Callable[[], Any], is_done: Callable[[Any], bool]) -> Any:
    while True:
        try:
            found = look()
        except NotFound:
            return None
        if is_done(found):
            return found
        time.sleep(_POLL_S)


def _is_ready(found: Json) -> bool:
    return found["desired"] == "run" and found["reason"] in ("Open", "Busy", "Idle")


def _is_open(found: Json) -> bool:
    return bool(found["desired"] == "run")


def _is_stopped(found: Json) -> bool:
    is_past = found["phase"] in ("stopped", "failed", "succeeded")
    return is_past and found["reason"] not in ("Stopping", "Deleting")


def _state(found: Json) -> str:
    return words(found["reason"])


def _left(found: Json) -> str | None:
    """Return how long it is until it stops by itself, as things stand."""
    stops_at = found["activity"]["stops_at"]
    if not _is_open(found) or stops_at is None:
        return None
    return "when done" if found["activity"]["busy"] else _until_then(stops_at)


def _stops(found: Json) -> str:
    left = _left(found)
    return "-" if left is None else f"{left}: {found['activity']['why']}"


def _until_then(moment: str) -> str:
    seconds = (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()
    return format_duration(max(0.0, seconds))


COMMANDS = {
    "workspace": verbs(
        "workspace",
        list_workspaces,
        {
            "list": list_workspaces,
            "up": up,
            "start": start,
            "open": open_workspace,
            "get": get,
            "stop": stop,
            "resize": resize,
            "rm": remove,
        },
        "Open and stop workspaces; without a verb, list them.",
    )
}
