"""Read workload files, and what they name beside them."""

from __future__ import annotations

from pathlib import Path

from plinth.domain.load import load_workload
from plinth.domain.workload import Endpoint, Environment, Job
from plinth.kit.errors import Invalid


def read_workload(file: Path, team: str | None) -> Job | Endpoint:
    """Return the workload that the file declares; `team` is put in the place of the file's.

    Raises LoadError with every mistake of the file, Invalid when it cannot be read.
    """
    try:
        text = file.read_bytes()
    except OSError as err:
        raise Invalid(
            f"`{file}` cannot be read: {err.strerror}", hint="give the path of a workload's file"
        ) from err
    workload = load_workload(text, str(file))
    return workload if team is None else workload.model_copy(update={"team": team})


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
    return job.model_copy(update={"environment": Environment(packages=packages)})
