"""What Plinth says of a job to MLflow, as tags of its runs, and how that is read back. Pure.

Tags are the team's to change: what is read back is what the team says, as of all that it logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import ValidationError

from plinth.domain.model import CodeOrigin
from plinth.store.runs import StoredRun
from plinth.tracking.mlflow import RUN_TAG

TEAM = "plinth.team"
BY = "plinth.by"
CODE = "plinth.code"
DIFF = "plinth.code.diff"
DATA = "plinth.data."
# MLflow's own words: its page shows them, and its clients write them where git is at hand.
COMMIT = "mlflow.source.git.commit"
BRANCH = "mlflow.source.git.branch"
REMOTE = "mlflow.source.git.repoURL"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_RUN = re.compile(r"r_[a-z0-9]{1,10}")
_PRINCIPAL = re.compile(r"[a-z0-9_]{1,12}")
_DATA = re.compile(r"([a-z][a-z0-9-]*)@([0-9]{1,9}) ([0-9a-f]{64})")


def tags_of(run: StoredRun) -> dict[str, str]:
    """Return the tags of every MLflow run of a job."""
    tags = {RUN_TAG: run.id, TEAM: run.team, BY: run.created_by, CODE: run.code_digest or ""}
    for name, version in run.data.items():
        tags[f"{DATA}{name}"] = f"{version.name}@{version.version} {version.digest}"
    if run.code is not None:
        said = {COMMIT: run.code.commit, BRANCH: run.code.branch, REMOTE: run.code.remote}
        said[DIFF] = run.code.diff_digest
        tags |= {tag: value for tag, value in said.items() if value}
    return tags


def run_in(tags: Mapping[str, str]) -> str | None:
    """Return the id of the job's run."""
    return _matching(_RUN, tags.get(RUN_TAG))


def principal_in(tags: Mapping[str, str]) -> str | None:
    """Return who submitted the job."""
    return _matching(_PRINCIPAL, tags.get(BY))


def code_digest_in(tags: Mapping[str, str]) -> str | None:
    """Return the digest of the code snapshot."""
    return _matching(_DIGEST, tags.get(CODE))


def code_in(tags: Mapping[str, str]) -> CodeOrigin | None:
    """Return where the code came from, also when MLflow's own client said it."""
    try:
        return CodeOrigin(
            commit=tags.get(COMMIT, ""),
            branch=tags.get(BRANCH) or None,
            remote=tags.get(REMOTE) or None,
            diff_digest=_matching(_DIGEST, tags.get(DIFF)),
        )
    except ValidationError:
        return None


def data_in(tags: Mapping[str, str]) -> dict[str, tuple[str, int, str]]:
    """Return which data versions the job was given: its name -> dataset, version, digest."""
    found = {}
    for tag, value in tags.items():
        match = _DATA.fullmatch(value) if tag.startswith(DATA) else None
        if match is not None:
            found[tag.removeprefix(DATA)] = match[1], int(match[2]), match[3]
    return found


def _matching(pattern: re.Pattern[str], value: str | None) -> str | None:
    return value if value is not None and pattern.fullmatch(value) else None
