"""The verbs `trace` and `lineage`: from a response, a model or data to what they belong to."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from plinth.cli.datasets import TeamOption, read_reference
from plinth.cli.output import console, counted, print_json
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.show import code_facts
from plinth.cli.verb import group, verb
from plinth.client.client import Json
from plinth.domain.workload_fields import ModelName, parse_model
from plinth.kit.errors import Invalid, NotFound
from plinth.kit.excerpt import excerpt

_MOST_VALUES = 20
_LONGEST_VALUE = 60
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def trace(
    response_id: Annotated[
        str, typer.Argument(metavar="RESPONSE-ID", help="The `x-plinth-id` of the response")
    ],
    *,
    diff: Annotated[
        bool,
        typer.Option("--diff", help="Print the uncommitted difference of the code, and no more"),
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show what made a response: deployment, model version, code, data, parameters, people.

    Responses of the last days can be traced (the setting `trace_days`), also when the endpoint, the
    job or the model were deleted since.
    """
    if diff and as_json:
        raise Invalid("give one of `--diff` and `--json`", hint="`--json` has the digest")
    wanted = _id(response_id)
    with connect(home) as client:
        found = client.trace(wanted)
        if diff:
            digest = _diff_digest(found)
            sys.stdout.buffer.write(client.diff(digest, team=found["team"]))
            sys.stdout.flush()
            return
    if as_json:
        print_json(found)
        return
    _print_trace(found)


def model(
    reference: Annotated[
        str, typer.Argument(metavar="NAME@ALIAS", help="A model version, or NAME@VERSION")
    ],
    *,
    team: TeamOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show what a model version came from, and where it serves or served."""
    name = _model_name(reference)
    with connect(home) as client:
        found = client.model_lineage(name.name, alias=name.alias, version=name.version, team=team)
    if as_json:
        print_json(found)
        return
    version = found["model"]
    aliases = "".join(f" @{alias}" for alias in version["aliases"])
    root = _tree(f"model {version['name']} version {version['version']}{aliases}")
    _add_origin(_add(root, "came from"), found["came_from"], found["run_by"])
    _add_deployments(root, found["deployments"])
    if found["batches"]:
        answered = _add(root, f"in {counted(len(found['batches']), 'run')} of batches")
        _add_runs(answered, found["batches"])
    console().print(root)


def data(
    reference: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="A data version [default: the newest]")
    ],
    *,
    team: TeamOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show which jobs read a data version, and what came of them."""
    name, number = read_reference(reference)
    with connect(home) as client:
        found = client.data_lineage(name, version=number, team=team)
    if as_json:
        print_json(found)
        return
    root = _tree(_data_words(found["data"]))
    maker = found["made_by"]
    if maker is not None:
        what = f"made by run {maker['run']} of batch {maker['name']}"
        made = _add(root, f"{what}, by {_who(maker['created_by'])} at {_time(maker['created_at'])}")
        _add(made, f"model {maker['model']} version {maker['version']}")
        for each in maker["data"].values():
            _add(made, f"data {each}")
    _add_runs(_add(root, f"read by {counted(len(found['runs']), 'run')}"), found["runs"])
    models = _add(root, f"in {counted(len(found['models']), 'model version')}")
    for each in found["models"]:
        _add(models, f"{each['name']} version {each['version']}")
    _add_deployments(root, found["deployments"])
    console().print(root)


def _add_runs(branch: Any, runs: list[Json]) -> None:
    for run in runs:
        what = f"run {run['run']} of {run['kind']} {run['name']}: {run['phase']}"
        _add(branch, f"{what}, by {_who(run['created_by'])} at {_time(run['created_at'])}")


def _id(text: str) -> str:
    """Read the id of a response, in whatever case it was copied."""
    wanted = text.strip().lower()
    if not _ID.fullmatch(wanted):
        raise NotFound(
            f"there is no response `{text.strip()[:_LONGEST_VALUE]}`",
            hint="give its header `x-plinth-id`, 32 hexadecimal digits in five groups",
        )
    return wanted


def _diff_digest(found: Json) -> str:
    origin = (found["lineage"] or {}).get("code")
    if origin is None:
        raise NotFound(
            "nobody knows the commit that this response's model was trained from",
            hint="`plinth run` notes it when the code lies in a git work tree",
        )
    if origin["diff_digest"] is None:
        why = origin["note"] or "everything was committed"
        raise NotFound(f"no difference is kept: {why}", hint=f"its commit is {origin['commit']}")
    return str(origin["diff_digest"])


def _model_name(reference: str) -> ModelName:
    """Take `NAME@ALIAS`, `NAME@3` and what files write apart."""
    bare = reference.removeprefix("models:/")
    name, at, which = bare.partition("@")
    try:
        return parse_model(
            f"models:/{name}/{which}" if at and which.isdigit() else f"models:/{bare}"
        )
    except ValueError as err:
        raise Invalid(
            f"`{excerpt(reference)}` is not a model version; write `NAME@ALIAS` or `NAME@3`",
            hint="`plinth models` lists all",
        ) from err


def _print_trace(found: Json) -> None:
    root = _tree(f"response {found['id']}, answered {_time(found['answered_at'])}")
    _add(root, f"called by {_who(found['called_by'])}")
    _add(root, f"endpoint {found['endpoint']} of team {found['team']}")
    _add(root, f"served by unit {found['unit'] or 'unknown'}")
    when = _time(found["deployed_at"])
    deployment = _add(
        root, f"deployment {found['deployment']}, by {_who(found['deployed_by'])} at {when}"
    )
    if found["deleted_at"] is not None:
        _add(deployment, f"deleted at {_time(found['deleted_at'])}")
    approver = found["approved_by"]
    _add(deployment, f"approved by {_who(approver)}" if approver else "no approval was asked")
    if found.get("code_digest") is not None:
        branch = _add(root, f"code {found['code_digest'][:12]}")
        for name, value in code_facts(found["code"]):
            _add(branch, f"{name} {value}")
    version, origin = found["model"], found["lineage"]
    if version is not None:
        asked = f", asked for as {origin['reference']}" if origin else ""
        branch = _add(root, f"model {version['name']} version {version['version']}{asked}")
        if origin is not None:
            _add_origin(branch, origin, found["run_by"])
    console().print(root)


def _add_origin(branch: Tree, origin: Json, run_by: Json | None) -> None:
    _add(branch, f"MLflow run {origin['tracking_run'] or 'unknown'}")
    if origin["run"] is None:
        _add(branch, "no job of Plinth is known to have logged it")
    else:
        _add(branch, f"job run {origin['run']}, by {_who(run_by)}")
    if origin["code_digest"] is not None:
        _add(branch, f"code {origin['code_digest'][:12]}")
    for name, value in code_facts(origin["code"]):
        if value is not None:
            _add(branch, f"{name} {value}")
    for name, version in origin["data"].items():
        _add(branch, f"data {name}: {_data_words(version)}")
    _add_values(branch, "parameter", origin["parameters"])
    _add_values(branch, "metric", origin["metrics"])


def _add_values(branch: Tree, what: str, values: Json) -> None:
    shown = list(values.items())[:_MOST_VALUES]
    for name, value in shown:
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        cut = text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
        _add(branch, f"{what} {name} = {cut}")
    if len(values) > len(shown):
        _add(branch, f"and {len(values) - len(shown)} more: --json shows all")


def _add_deployments(root: Tree, deployments: list[Json]) -> None:
    branch = _add(root, f"in {counted(len(deployments), 'deployment')}")
    for each in deployments:
        until = "serves" if each["serves"] else f"ended {_time(each['until'])}"
        if each["until"] is None and not each["serves"]:
            until = "does not serve"
        words = (
            f"endpoint {each['endpoint']}, run {each['run']}, version {each['version']}: {until}"
        )
        by = f"applied {_time(each['since'])} by {_who(each['deployed_by'])}"
        _add(branch, f"{words}, {by}")


def _data_words(version: Json) -> str:
    words = f"{version['name']}@{version['version']} ({version['rows']:,} rows"
    return f"{words}, digest {version['digest'][:12]})"


def _who(person: Json | None) -> str:
    if person is None:
        return "unknown"
    if person["name"] is None:
        return str(person["id"])
    return f"{person['name']} ({person['id']}) of team {person['team']}"


def _time(moment: str | None) -> str:
    return "-" if moment is None else f"{moment[:19].replace('T', ' ')} UTC"


def _tree(text: str) -> Tree:
    return Tree(_text(text, "bold"))


def _add(branch: Tree, text: str) -> Tree:
    return branch.add(_text(text))


def _text(text: Any, style: str = "") -> Text:
    # What was logged may hold anything; it stays one line, and is no markup.
    return Text(" ".join(str(text).split()), style=style, overflow="fold")


COMMANDS = {
    "trace": verb(trace, "trace"),
    "lineage": group(
        "lineage",
        {"model": model, "data": data},
        "Show what a model or data version came from, and what came of it.",
    ),
}
