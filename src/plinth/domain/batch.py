"""Batch inference: a model version over many files, each row answered once or set aside."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from plinth.domain.base import Name
from plinth.domain.resources import Count, Seconds
from plinth.domain.workload_fields import DataReference, ModelReference, Text, WorkloadBase
from plinth.kit.excerpt import excerpt

# Columns that say, in the output and in the quarantine, which row of which file it is.
FILE_COLUMN, ROW_COLUMN = "input_file", "input_row"
ERROR_COLUMN, CONTENT_COLUMN = "error", "content"
RESERVED_COLUMNS = (FILE_COLUMN, ROW_COLUMN, ERROR_COLUMN, CONTENT_COLUMN)
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")
_RUN = re.compile(r"r_[A-Za-z0-9]{1,40}")
_MOST_FILES = 1000

Form = Literal["auto", "onnx", "pyfunc"]


def _check_threshold(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"`{excerpt(str(value))}` is neither a number of rows nor a share")
    text = str(value).strip()
    match = _PERCENT.fullmatch(text)
    if not re.fullmatch(r"[0-9]{1,15}", text) and (match is None or float(match[1]) > 100):
        raise ValueError(
            f"`{excerpt(text)}` is neither a number of rows, like `100`, nor a share, like `1%`"
        )
    return text


def _check_run(value: str) -> str:
    if not _RUN.fullmatch(value):
        raise ValueError(f"`{excerpt(value)}` is not a run's id; it looks like `r_3fk2...`")
    return value


def _check_keep(value: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in value if value.count(name) > 1})
    if twice:
        raise ValueError(f"`{excerpt(twice[0])}` is named twice")
    for name in value:
        if name in RESERVED_COLUMNS:
            raise ValueError(f"`{name}` is a column that Plinth writes itself")
    return value


class BatchInference(WorkloadBase):
    """Answer every row of many files with a model, as fast as the machine allows.

    Each row is in the output exactly once, or in the quarantine with its error. What was finished
    before a crash, a stop or a failure is not reckoned again.
    """

    ends: ClassVar[bool] = True
    calls: ClassVar[bool] = False
    tracked: ClassVar[bool] = False

    kind: Literal["batch"]
    model: ModelReference = Field(
        description="A registered model; an alias is resolved to its version when it is submitted."
    )
    data: DataReference | None = Field(
        default=None, description="The data version whose rows are answered: `NAME@3` or `NAME`."
    )
    files: tuple[Text, ...] = Field(
        default=(),
        max_length=_MOST_FILES,
        title="list of paths and patterns",
        description="Files to answer instead of `data`, relative to the workload's file: "
        "Parquet, CSV with a header, or JSON lines; `in/*.csv` and `in/**/*.parquet` are patterns. "
        "They are uploaded as a data version, so what changes afterwards does no harm.",
    )
    keep: Annotated[tuple[Text, ...], AfterValidator(_check_keep)] = Field(
        default=(),
        title="list of columns",
        description="Columns of the input that are passed on to the output, like an id.",
    )
    mini_batch: Count = Field(
        default=50_000,
        ge=1,
        le=5_000_000,
        description="Rows that are answered and kept together: after a crash, no more than this "
        "is reckoned again by each worker. Each makes one file of the output.",
    )
    workers: Count = Field(
        default=1, ge=1, le=64, description="Processes that share the rows, each with the model."
    )
    error_threshold: Annotated[str, BeforeValidator(_check_threshold)] = Field(
        default="0",
        title="number of rows, or a share like `1%`",
        description="How many rows may be set aside with their error before the run fails.",
    )
    form: Form = Field(
        default="auto",
        description="`onnx`: the model as ONNX, many times faster, or none. `pyfunc`: as MLflow "
        "loads it. `auto`: ONNX where it can be converted and answers the same.",
    )
    output: Name | None = Field(
        default=None,
        title="name",
        description="The dataset of which the output becomes a version; without it, the run's "
        "own name.",
    )
    resume: Annotated[str, AfterValidator(_check_run)] | None = Field(
        default=None,
        title="a run's id",
        description="A run of the same model and data, that failed or was stopped: what it "
        "finished is taken over.",
    )
    attempts: Count = Field(
        default=5,
        ge=1,
        le=100,
        description="How often it is started before it counts as failed; each start goes on "
        "behind the last mini-batch that was finished.",
    )
    timeout: Seconds = Field(
        default=86400.0, description="How long one attempt may run before it is stopped."
    )
    grace: Seconds = Field(
        default=10.0, description="Time between the signals SIGTERM and SIGKILL when it is stopped."
    )

    @model_validator(mode="after")
    def _one_input(self) -> BatchInference:
        if (self.data is None) == (not self.files):
            raise ValueError("give `data` or `files`, one of the two")
        return self

    @property
    def dataset(self) -> str:
        """The dataset of which the output becomes a version."""
        return self.output or self.name


def allowed_errors(threshold: str, rows: int) -> int:
    """Return how many of so many rows may be set aside; a share is rounded down."""
    match = _PERCENT.fullmatch(threshold)
    return int(rows * float(match[1]) / 100) if match else int(threshold)
