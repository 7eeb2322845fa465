"""Verbs on data and models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plinth.cli.output import age, console, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verbs
from plinth.client.client import Client, Json
from plinth.client.data_files import find_files, send_files
from plinth.domain.workload_fields import parse_data
from plinth.kit.errors import Invalid
from plinth.kit.units import format_bytes

TeamOption = Annotated[
    str | None, typer.Option("--team", help="Team that owns it [default: yours]")
]


def list_data(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List versions of datasets."""
    with connect(home) as client:
        versions = client.data()
    if as_json:
        print_json(versions)
        return
    rows = [
        [
            f"{v['name']}@{v['version']}",
            v["team"],
            f"{v['rows']:,}",
            len(v["columns"]),
            format_bytes(v["size_bytes"]),
            v["digest"][:12],
            age(v["created_at"]),
        ]
        for v in versions
    ]
    print_table(
        ["DATA", "TEAM", ">ROWS", ">COLUMNS", ">SIZE", "DIGEST", ">AGE"],
        rows,
        empty="no data yet; `plinth data add NAME FILE` adds a version",
    )


def add_data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The dataset")],
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="Parquet, CSV or JSONL; or a pattern")
    ],
    *,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Also files that are empty or have other columns")
    ] = False,
    team: TeamOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Add a file, or many, as the next version of a dataset. The same bytes stay one version.

    Many files, or a pattern like `'in/*.csv'`, are one version with one listing; their columns are
    the same unless `--as-is` is given.
    """
    with connect(home) as client:
        version = _send(client, name, files, team=team, as_is=as_is)
    if as_json:
        print_json(version)
        return
    what = (
        f"{name}@{version['version']}: {version['rows']:,} rows, {len(version['columns'])} columns"
    )
    note(
        f"{what}, digest {version['digest'][:12]}" + ("" if version["added"] else " (known before)")
    )


def show_data(
    reference: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="A data version [default: the newest]")
    ],
    *,
    team: TeamOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show a version of a dataset: where it lies, its digest, its columns."""
    name, number = read_reference(reference)
    with connect(home) as client:
        version = client.data_version(name, version=number, team=team)
    if as_json:
        print_json(version)
        return
    for field in ("team", "name", "version", "rows", "size_bytes", "digest", "uri", "created_at"):
        console().print(f"  {field:<10}  {version[field]}", markup=False)
    rows = [[column["name"], column["type"]] for column in version["columns"]]
    print_table(["COLUMN", "TYPE"], rows, empty="no columns")
    if version["file_name"] == "files.json":
        rows = [
            [f["name"], f["rows"], format_bytes(f["size_bytes"]), f["digest"][:12], f["problem"]]
            for f in version["files"]
        ]
        print_table(["FILE", ">ROWS", ">SIZE", "DIGEST", "WHY"], rows, empty="no files")


def diff_data(
    before: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="A version, such as `flights@1`")
    ],
    after: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="The one to compare it with")
    ],
    *,
    team: TeamOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Say what differs between two versions: rows, size, columns."""
    name, number = read_reference(before)
    read_reference(after)
    with connect(home) as client:
        change = client.data_change(name, version=number, to=after, team=team)
    if as_json:
        print_json(change)
        return
    old, new = change["before"], change["after"]
    names = [f"{each['name']}@{each['version']}" for each in (old, new)]
    if change["same_bytes"]:
        note(f"{names[0]} and {names[1]} have the same bytes")
        return
    rows = [
        ["rows", f"{old['rows']:,}", f"{new['rows']:,}", f"{change['rows']:+,}"],
        [
            "size",
            format_bytes(old["size_bytes"]),
            format_bytes(new["size_bytes"]),
            f"{change['size_bytes']:+,} B",
        ],
        ["digest", old["digest"][:12], new["digest"][:12], "other"],
    ]
    rows += [[f"column {c['name']}", None, c["type"], "added"] for c in change["added"]]
    rows += [[f"column {c['name']}", c["type"], None, "removed"] for c in change["removed"]]
    rows += [[f"column {c['name']}", c["before"], c["after"], "other"] for c in change["retyped"]]
    if change["reordered"]:
        rows.append(["order of columns", None, None, "other"])
    print_table(["WHAT", *names, ">CHANGE"], rows, empty="")


def list_models(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List model versions in the registry."""
    with connect(home) as client:
        versions = client.models()
    if as_json:
        print_json(versions)
        return
    rows = [
        [
            v["name"],
            v["version"],
            v["team"],
            ", ".join(f"@{alias}" for alias in v["aliases"]),
            v["tracking_run_id"],
        ]
        for v in versions
    ]
    print_table(
        ["MODEL", ">VERSION", "TEAM", "ALIASES", "MLFLOW RUN"],
        rows,
        empty="no models yet; a job registers one with `mlflow.register_model`",
    )


def _send(client: Client, name: str, files: list[str], *, team: str | None, as_is: bool) -> Json:
    if len(files) == 1 and not as_is and not set(files[0]) & set("*?["):
        file = Path(files[0])
        if not file.is_file():
            raise Invalid(
                f"`{file}` is not a file", hint="give the path of a Parquet, CSV or JSONL file"
            )
        with console(to_stderr=True).status(f"uploading {file.name}"):
            return client.add_data(name, file, team=team)
    found = find_files(files, Path.cwd())
    with console(to_stderr=True).status("reading the files") as status:
        return send_files(
            client,
            name,
            found,
            team=team,
            as_is=as_is,
            told=lambda sent, of: status.update(f"{sent:,} of {of:,} files are there"),
        )


COMMANDS = {
    "data": verbs(
        "data",
        list_data,
        {"list": list_data, "add": add_data, "show": show_data, "diff": diff_data},
        "Add, list, show and compare versions of datasets.",
    ),
    "models": verbs(
        "models", list_models, {"list": list_models}, "List model versions in the registry."
    ),
}


def read_reference(text: str) -> tuple[str, int | None]:
    """Return name and version of `NAME` or `NAME@VERSION`. Raises Invalid for anything else."""
    try:
        return parse_data(text)
    except ValueError as err:
        raise Invalid(str(err)) from err
