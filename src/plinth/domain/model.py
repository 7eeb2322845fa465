"""Versions of models and of data: what a run read and what it made."""

from __future__ import annotations

from datetime import datetime

from plinth.domain.base import Declared


class Column(Declared):
    """A named column and its type, as the file format names it."""

    name: str
    type: str


class DataVersion(Declared):
    """One immutable version of a dataset: a digest of the bytes and the URI that holds them."""

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


class ModelVersion(Declared):
    """A version in the model registry. `tracking_run_id` is the MLflow run that logged it."""

    team: str
    name: str
    version: int
    artifact_uri: str
    tracking_run_id: str | None = None
    aliases: tuple[str, ...] = ()
