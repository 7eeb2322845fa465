"""Datasets and models: versions of what runs read and make."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from plinth.api.caller import (
    Caller,
    CallerDep,
    ContextDep,
    UploadsDep,
    needs,
    no_team,
    require_again,
    require_team,
)
from plinth.api.uploads import Upload
from plinth.control.context import Context
from plinth.control.data_folder import check_file_name, files_of
from plinth.control.datasets import NewData, add_version, change_between, stored_at
from plinth.control.many_files import (
    Digest,
    FileList,
    NamedFile,
    keep_file,
    make_version,
    missing_of,
)
from plinth.domain.access import Action, Resource
from plinth.domain.base import Name
from plinth.domain.model import DataVersion
from plinth.domain.workload_fields import parse_data
from plinth.kit.errors import Invalid, NotFound
from plinth.kit.excerpt import excerpt
from plinth.storage.tabular import inspect
from plinth.store.data_versions import (
    find_data_version,
    list_data_versions,
    no_data_version,
)
from plinth.store.identities import list_teams

router = APIRouter(tags=["data and models"])

MOST_DATA_BYTES = 20_000_000_000
# What a column of the database holds.
MOST_VERSIONS = 2**31 - 1
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


@router.put("/data/{name}", **needs(Action.WRITE, "data"))
async def add(
    name: Name,
    request: Request,
    context: ContextDep,
    caller: CallerDep,
    uploads: UploadsDep,
    *,
    file_name: str,
    team: str | None = None,
) -> dict[str, Any]:
    """Add a file as the next version; the same bytes are the version they were before."""
    owner = team or caller.actor.principal.team
    resource = Resource(kind="data", team=owner, name=name)
    caller.require(Action.WRITE, resource, absent=no_team(owner))
    if not _FILE_NAME.fullmatch(file_name):
        raise Invalid(
            f"the file name `{excerpt(file_name)}` is not accepted; "
            "letters, digits, `_`, `.` and `-` are",
            hint="rename the file, or add it by a pattern, as a version of many files",
        )
    await asyncio.to_thread(require_team, context, owner)
    async with uploads.receive(request, most_bytes=MOST_DATA_BYTES) as upload:
        data = NewData(
            team=owner,
            name=name,
            file_name=file_name,
            digest=upload.digest,
            size_bytes=upload.size_bytes,
        )
        return await asyncio.to_thread(_store, request, context, data, upload)


@router.post("/data/{name}/missing", **needs(Action.WRITE, "data"))
def missing(
    name: Name, wanted: FileList, context: ContextDep, caller: CallerDep, *, team: str | None = None
) -> dict[str, Any]:
    """Say which files of a version to come have not been sent yet, by their digests."""
    owner = _may_write(context, caller, name, team)
    return {"missing": missing_of(context, owner, wanted.files)}


@router.put("/data/{name}/files/{digest}", **needs(Action.WRITE, "data"))
async def put_file(
    name: Name,
    digest: Digest,
    request: Request,
    context: ContextDep,
    caller: CallerDep,
    *,
    uploads: UploadsDep,
    file_name: str,
    team: str | None = None,
) -> dict[str, Any]:
    """Take one file of a version to come, and say what is in it."""
    file = NamedFile(name=check_file_name(file_name), digest=digest)
    owner = await asyncio.to_thread(_may_write, context, caller, name, team)
    async with uploads.receive(request, most_bytes=MOST_DATA_BYTES) as upload:
        if upload.digest != digest:
            raise Invalid(
                f"`{excerpt(file_name)}`: what came has the digest {upload.digest[:12]}, not "
                f"{digest[:12]}",
                hint="it changed while it was sent; send it again",
            )
        resource = Resource(kind="data", team=owner, name=name)
        require_again(request, context, Action.WRITE, resource, absent=no_team(owner))
        found = await asyncio.to_thread(keep_file, context, owner, file, upload.path)
    return found.model_dump(mode="json")


@router.post("/data/{name}/versions", **needs(Action.WRITE, "data"))
def add_many(
    name: Name, wanted: FileList, context: ContextDep, caller: CallerDep, *, team: str | None = None
) -> dict[str, Any]:
    """Make files that were sent the next version; the same files are the version they were."""
    owner = _may_write(context, caller, name, team)
    data, table = make_version(context, owner, name, wanted)
    with context.database.write() as connection:
        version, is_new = add_version(connection, context, caller.actor, data, table)
        if is_new:
            subject = f"data/{version.name}@{version.version}"
            caller.note(connection, "add", subject, team=version.team, digest=version.digest)
    return {**version.model_dump(mode="json"), "added": is_new}


@router.get("/data", **needs(Action.READ, "data"))
def list_all(context: ContextDep, caller: CallerDep) -> list[dict[str, Any]]:
    """List the data versions that the caller may see."""
    with context.database.read() as connection:
        found = list_data_versions(connection)
    return [version.model_dump(mode="json") for version in found if _may_see(caller, version)]


@router.get("/data/{name}", **needs(Action.READ, "data"))
def get(
    name: str,
    context: ContextDep,
    caller: CallerDep,
    *,
    version: Annotated[int | None, Query(ge=1, le=MOST_VERSIONS)] = None,
    team: str | None = None,
) -> dict[str, Any]:
    """Show a data version, the newest if none is given."""
    owner = team or caller.actor.principal.team
    found = find_data(context, caller, owner, name, version)
    files = [each.model_dump(mode="json") for each in files_of(context, found)]
    return {**found.model_dump(mode="json"), "files": files}


@router.get("/data/{name}/diff", **needs(Action.READ, "data"))
def diff(
    name: str,
    context: ContextDep,
    caller: CallerDep,
    *,
    to: str,
    version: Annotated[int | None, Query(ge=1, le=MOST_VERSIONS)] = None,
    team: str | None = None,
) -> dict[str, Any]:
    """Say what changed from a data version (the newest if none is given) to `to`, `NAME@VERSION`.

    Both are of the same team, and may be of different datasets.
    """
    owner = team or caller.actor.principal.team
    before = find_data(context, caller, owner, name, version)
    try:
        other, number = parse_data(to)
    except ValueError as err:
        raise Invalid(str(err)) from err
    after = find_data(context, caller, owner, other, number)
    return change_between(before, after).model_dump(mode="json")


def _absent(
    context: Context, caller: Caller, team: str, name: str, version: int | None
) -> NotFound:
    """Return the error for a data version that is absent, or that the caller may not see.

    Its hint names the other teams that have one and let the caller read it.
    """
    with context.database.read() as connection:
        found = list_data_versions(connection, name)
    teams = {each.team for each in found if version is None or each.version == version}
    readable = sorted(
        each
        for each in teams - {team}
        if caller.may(Action.READ, Resource(kind="data", team=each, name=name))
    )
    return no_data_version(team, name, version, elsewhere=readable)


@router.get("/models", **needs(Action.READ, "model"))
def models(context: ContextDep, caller: CallerDep) -> list[dict[str, Any]]:
    """List the model versions of the teams that the caller may see, from the registry."""
    with context.database.read() as connection:
        teams = [team.name for team in list_teams(connection)]
    return [
        version.model_dump(mode="json")
        for team in teams
        if caller.may(Action.READ, Resource(kind="model", team=team))
        for version in context.tracking.list_models(team)
    ]


def find_data(
    context: Context, caller: Caller, team: str, name: str, version: int | None
) -> DataVersion:
    """Return a data version, the newest if none is given. Raises NotFound, also when hidden."""
    absent = _absent(context, caller, team, name, version)
    caller.require(Action.READ, Resource(kind="data", team=team, name=name), absent=absent)
    with context.database.read() as connection:
        found = find_data_version(connection, team, name, version)
    if found is None:
        raise absent
    return found


def _may_write(context: Context, caller: Caller, name: str, team: str | None) -> str:
    """Return the team that is to own a dataset, when the caller may write there."""
    owner = team or caller.actor.principal.team
    resource = Resource(kind="data", team=owner, name=name)
    caller.require(Action.WRITE, resource, absent=no_team(owner))
    require_team(context, owner)
    return owner


def _store(request: Request, context: Context, data: NewData, upload: Upload) -> dict[str, Any]:
    table = inspect(upload.path, file_name=data.file_name)
    resource = Resource(kind="data", team=data.team, name=data.name)
    absent = no_team(data.team)
    caller = require_again(request, context, Action.WRITE, resource, absent=absent)
    context.storage.put_file(upload.path, stored_at(data))
    with context.database.write() as connection:
        version, is_new = add_version(connection, context, caller.actor, data, table)
        if is_new:
            subject = f"data/{version.name}@{version.version}"
            caller.note(connection, "add", subject, team=version.team, digest=version.digest)
    return {**version.model_dump(mode="json"), "added": is_new}


def _may_see(caller: CallerDep, version: DataVersion) -> bool:
    return caller.may(Action.READ, Resource(kind="data", team=version.team, name=version.name))
