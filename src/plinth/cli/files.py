"""Read workload files, and what they name beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from plinth.domain.application import Application, Declaration
from plinth.domain.dag import flow_problems
from plinth.domain.document import MAX_CHARACTERS
from plinth.domain.flow import PromptFlow
from plinth.domain.load import load_workload
from plinth.domain.workload import KINDS, AnyWorkload, Job
from plinth.domain.workload_fields import Environment
from plinth.domain.workspace import Workspace
from plinth.kit.errors import Invalid
from plinth.kit.files import read_text_below

WithCode = TypeVar("WithCode", Job, PromptFlow, Workspace)
_KINDS = " or ".join(f"`{kind}`" for kind in KINDS)
# More than the loader accepts, so that it can say that the file is too large.
_MOST_BYTES = 1_000_000


def read_workload(file: Path, team: str | None) -> AnyWorkload:
    """Return the workload that the file declares; `team` is put in the place of the file's.

    Raises LoadError with every mistake of the file, Invalid when it cannot be read or is of a kind
    that is only planned.
    """
    workload = read_declaration(file, team)
    if isinstance(workload, Application):
        raise Invalid(
            f"`{file}` declares an application, which is planned and not started as a whole; "
            f"accepted here: a file of kind {_KINDS}",
            hint=f"`plinth plan {file}` says where each of its parts fits",
        )
    return workload


def read_declaration(file: Path, team: str | None) -> Declaration:
    """Return what the file declares, of whatever kind; `team` is put in the place of the file's.

    Raises LoadError with every mistake of the file, Invalid when it cannot be read.
    """
    try:
        if file.exists() and not file.is_file():
            raise Invalid(f"`{file}` is not a file", hint="give the path of a workload's file")
        with file.open("rb") as stream:
            text = stream.read(_MOST_BYTES + 1)
    except OSError as err:
        raise Invalid(
            f"`{file}` cannot be read: {err.strerror}", hint="give the path of a workload's file"
        ) from err
    if len(text) > _MOST_BYTES:
        raise Invalid(
            f"`{file}` has more than {_MOST_BYTES:,} bytes; at most {MAX_CHARACTERS:,} characters "
            "are read",
            hint="give the path of a workload's file",
        )
    workload = load_workload(text, str(file))
    return workload if team is None else workload.model_copy(update={"team": team})


def check_beside(workload: Declaration, file: Path) -> None:
    """Raise Invalid when what the file names beside it is missing or wrong."""
    if isinstance(workload, Job):
        with_packages(workload, file)
        _folder_beside(workload.code, file)
    elif isinstance(workload, PromptFlow):
        flow = with_packages(workload, file)
        _check_flow(flow, _folder_beside(flow.code, file))


def _folder_beside(code: str, file: Path) -> Path:
    folder = file.parent / code
    if not folder.is_dir():
        raise Invalid(
            f"`code`: `{folder}` is not a folder",
            hint=f"the path is relative to `{file.parent}`",
        )
    return folder


def _check_flow(flow: PromptFlow, folder: Path) -> None:
    """Raise Invalid with everything that keeps the folder from running as this flow."""
    found = flow_problems(flow.app, flow.connections, lambda name: read_text_below(folder, name))
    if found:
        raise Invalid("\n".join(found), hint=f"correct what is in `{folder}`")


def with_packages(job: WithCode, file: Path) -> WithCode:
    """Return the job, or the flow, with the lines of its requirements file in the file's place."""
    if job.environment.file is None:
        return job
    path = file.parent / job.environment.file
    try:
        lines = path.read_text().splitlines()
    except OSError as err:
        raise Invalid(
            f"`environment.file`: `{path}` cannot be read: {err.strerror}",
            hint=f"the path is relative to `{file.parent}`",
        ) from err
    packages = tuple(stripped for line in lines if (stripped := line.partition("#")[0].strip()))
    try:
        environment = Environment(
            packages=packages,
            without_dependencies=job.environment.without_dependencies,
            leave_out=job.environment.leave_out,
        )
    except ValidationError as err:
        mistakes = "; ".join(
            f"`{path}`: {each['msg'].removeprefix('Value error, ')}" for each in err.errors()
        )
        raise Invalid(mistakes, hint="each line names one package") from err
    return job.model_copy(update={"environment": environment})
