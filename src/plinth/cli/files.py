"""Read workload files, and what they name beside them."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from plinth.domain.application import Application, Declaration
from plinth.domain.document import MAX_CHARACTERS
from plinth.domain.load import load_workload
from plinth.domain.workload import Endpoint, Environment, Job
from plinth.kit.errors import Invalid

# More than the loader accepts, so that it can say that the file is too large.
_MOST_BYTES = 1_000_000


def read_workload(file: Path, team: str | None) -> Job | Endpoint:
    """Return the workload that the file declares; `team` is put in the place of the file's.

    Raises LoadError with every mistake of the file, Invalid when it cannot be read or is of a kind
    that is only planned.
    """
    workload = read_declaration(file, team)
    if isinstance(workload, Application):
        raise Invalid(
            f"`{file}` declares an application, which is planned and not started as a whole; "
            "accepted here: a file of kind `job` or `endpoint`",
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
        folder = file.parent / workload.code
        if not folder.is_dir():
            raise Invalid(
                f"`code`: `{folder}` is not a folder",
                hint=f"the path is relative to `{file.parent}`",
            )


def with_packages(job: Job, file: Path) -> Job:
    """Return the job with the lines of its requirements file in the file's place."""
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
            packages=packages, without_dependencies=job.environment.without_dependencies
        )
    except ValidationError as err:
        mistakes = "; ".join(
            f"`{path}`: {each['msg'].removeprefix('Value error, ')}" for each in err.errors()
        )
        raise Invalid(mistakes, hint="each line names one package") from err
    return job.model_copy(update={"environment": environment})
