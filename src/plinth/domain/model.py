"""Versions of models and of data: what a run read and what it made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from plinth.domain.base import Declared


class Column(Declared):
    """A named column and its type, as the file format names it."""

    name: str
    type: str


class DataFile(Declared):
    """One file of a data version. `rows` None: they could not be counted; `problem` says why."""

    name: str
    digest: str
    size_bytes: int
    rows: int | None = None
    problem: str | None = None


class DataVersion(Declared):
    """One immutable version of a dataset: a digest of the bytes and the URI that holds them.

    Of many files: `digest` is that of their names and digests, `file_name` is `files.json`.
    """

    team: str
    name: str
    version: int
    digest: str
    uri: str
    file_name: str
    size_bytes: int
    rows: int
    columns: tuple[Column, ...]
    created_by: str
    created_at: datetime


class CodeOrigin(Declared):
    """Where a code snapshot came from, as git said on the caller's machine.

    `diff_digest`: the SHA-256 of the uncommitted difference, which is kept; None: there was none,
    unless `note` says why it is not kept. `note` also names files that it leaves out.
    """

    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
    branch: Annotated[str | None, Field(max_length=250)] = None
    remote: Annotated[str | None, Field(max_length=500)] = None
    diff_digest: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")] = None
    note: Annotated[str | None, Field(max_length=300)] = None


class Lineage(Declared):
    """What a model version came from, as known when it was deployed; what nobody knows is None.

    `reference`: the name and alias or version that the file asked for. `run`: our job that logged
    it, `run_by`: the principal that submitted that job. It outlives all that it names: a trace must
    not depend on what somebody deletes later.
    """

    reference: str
    tracking_run: str | None = None
    run: str | None = None
    run_by: str | None = None
    code_digest: str | None = None
    code: CodeOrigin | None = None
    data: dict[str, DataVersion] = Field(default_factory=dict)
    parameters: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)


class ModelVersion(Declared):
    """A version in the model registry. `tracking_run_id` is the MLflow run that logged it."""

    team: str
    name: str
    version: int
    artifact_uri: str
    tracking_run_id: str | None = None
    aliases: tuple[str, ...] = ()
