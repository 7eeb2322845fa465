"""The fields that workloads share, and what is checked of them."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from plinth.domain.base import Declared, Name, TeamName, is_stored
from plinth.domain.package import is_package
from plinth.domain.requirements import Requirements
from plinth.domain.resources import Count, ResourceRequest
from plinth.kit.excerpt import excerpt

_MODEL = re.compile(
    r"models:/([A-Za-z0-9][A-Za-z0-9_.-]*)(?:@([A-Za-z][A-Za-z0-9_-]*)|/([0-9]{1,9}))"
)
_DATA = re.compile(r"([a-z][a-z0-9-]*)(?:@([0-9]{1,9}|latest))?")
_PACKAGE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SINGLE_QUOTED = re.compile(r"'[^']*'")
_DOUBLE_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SHELL_VARIABLE = re.compile(r"\$[A-Za-z_{(]|`")
_SHELL_OPERATOR = re.compile(r"[|;<>]|&(?=&|\s|$)")
# The platform sets these for each run; a file that set them would be lying to its own job.
RESERVED_VARIABLES = ("PLINTH_", "MLFLOW_TRACKING_", "MLFLOW_RUN_ID", "LISTEN_FDS")


def _check_model(value: str) -> str:
    if not _MODEL.fullmatch(value):
        raise ValueError(
            f"`{excerpt(value)}` is not a model; "
            "write `models:/NAME@ALIAS` or `models:/NAME/VERSION`"
        )
    return value


def _check_data(value: str) -> str:
    if not _DATA.fullmatch(value):
        raise ValueError(
            f"`{excerpt(value)}` is not a data version; write `NAME@3`, `NAME@latest` or `NAME`"
        )
    return value


def _check_variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise ValueError(f"`{excerpt(value)}` is not the name of an environment variable")
    if value.startswith(RESERVED_VARIABLES):
        raise ValueError(f"`{excerpt(value)}` is set by Plinth for each run; choose another name")
    return value


def _check_text(value: str) -> str:
    if "\0" in value:
        raise ValueError("a zero byte cannot be passed to a process")
    return value


def _split_command(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # No shell reads the command, so what only a shell understands would be passed on as it is.
    bare = _SINGLE_QUOTED.sub("", value)
    quoted_away = _DOUBLE_QUOTED.sub("", bare)
    if "\n" in value.strip() or _SHELL_OPERATOR.search(quoted_away) or _SHELL_VARIABLE.search(bare):
        raise ValueError(
            "no shell reads the command, and variables, pipes and further lines need one; "
            "write `[sh, -c, '...']`"
        )
    try:
        return shlex.split(value)
    except ValueError as err:
        raise ValueError(f"`{excerpt(value)}` cannot be split into words: {err}") from err


def _check_program(value: tuple[str, ...]) -> tuple[str, ...]:
    if value and not value[0].strip():
        raise ValueError("the program's name is empty; write it like `[python, train.py]`")
    return value


def _check_package(value: str, info: ValidationInfo) -> str:
    if not is_stored(info) and not is_package(value):
        raise ValueError(
            f"`{excerpt(value)}` is not a package; write a name with versions, like "
            "`scikit-learn==1.8.0`, and a marker like `; python_version < '3.12'` where it needs "
            "one. Options, addresses and paths are refused"
        )
    return value


def _check_package_name(value: str) -> str:
    if not _PACKAGE_NAME.fullmatch(value.strip()):
        raise ValueError(
            f"`{excerpt(value)}` is not the name of a package; write it without versions, like "
            "`pybars4`"
        )
    return value


Text = Annotated[str, AfterValidator(_check_text)]
ModelReference = Annotated[
    str, AfterValidator(_check_model), Field(title="`models:/NAME@ALIAS` or `models:/NAME/VERSION`")
]
DataReference = Annotated[str, AfterValidator(_check_data)]
Network = Literal["gateway", "open"]
Replicas = Annotated[Count, Field(ge=1, le=16)]
VariableName = Annotated[str, AfterValidator(_check_variable)]
Command = Annotated[
    tuple[Text, ...],
    BeforeValidator(_split_command),
    AfterValidator(_check_program),
    Field(min_length=1, title="list of texts, or one text that is split into words"),
]


class Environment(Declared):
    """The Python packages a process needs: a requirements file, or the lines themselves.

    `file` is relative to the workload's file; the client replaces it by `packages` on submit.
    """

    file: Text | None = Field(
        default=None, description="A requirements file, relative to the workload's file."
    )
    packages: tuple[Annotated[Text, AfterValidator(_check_package)], ...] = Field(
        default=(),
        description="Lines of a requirements file, like `scikit-learn==1.8.0`. Give `file` or "
        "`packages`, not both; with neither, the command finds plain Python.",
    )
    without_dependencies: tuple[Annotated[Text, AfterValidator(_check_package)], ...] = Field(
        default=(),
        description="Further packages, of which only themselves are installed and nothing that "
        "they depend on: for one whose files are wanted and whose dependencies have no wheel.",
    )
    leave_out: tuple[Annotated[Text, AfterValidator(_check_package_name)], ...] = Field(
        default=(),
        description="Names of packages that are not installed, whoever depends on them: for one "
        "that has no wheel, where nothing of it is used.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Environment:
        if self.file is not None and self.packages:
            raise ValueError("give `file` or `packages`, not both")
        return self


class WorkloadBase(Declared):
    """What every workload has, and what is true of all workloads of a kind.

    `ends`: it runs to its end, rather than serve until it is stopped. `calls`: it is given a key,
    with which it calls the gateway in its own name. `tracked`: it is a run in MLflow.
    """

    ends: ClassVar[bool]
    calls: ClassVar[bool]
    tracked: ClassVar[bool]

    name: Name = Field(
        title="name",
        description="Lower-case letters, digits and `-`, starting with a letter, at most 40.",
    )
    team: TeamName | None = Field(
        default=None,
        title="name",
        description="The team that owns it and is charged for it; without it, the caller's own.",
    )
    requirements: Requirements = Field(
        default=Requirements(), description="What must hold wherever it runs."
    )
    resources: ResourceRequest = Field(
        default=ResourceRequest(), description="What one replica needs."
    )

    @property
    def key_s(self) -> float:
        """For how long, in seconds, a key of one attempt must hold."""
        return 0.0

    @property
    def instances(self) -> int:
        """Of how many replicas a run of it consists."""
        return 1

    @property
    def reaches(self) -> Network:
        """What its processes may connect to."""
        return "gateway"


def memory_limit(workload: WorkloadBase) -> int | None:
    """Return how many bytes each of its processes may use; None: as much as there is.

    Only a stated size is a limit; the default is a size for planning.
    """
    stated = "memory" in workload.resources.model_fields_set
    return workload.resources.memory if stated else None


class ModelName(Declared):
    """A model reference taken apart: exactly one of `alias` and `version` is set."""

    name: str
    alias: str | None = None
    version: int | None = None


def parse_model(reference: str) -> ModelName:
    """Take `models:/NAME@ALIAS` or `models:/NAME/VERSION` apart. Raises ValueError."""
    match = _MODEL.fullmatch(_check_model(reference))
    assert match is not None  # _check_model has raised otherwise
    return ModelName(name=match[1], alias=match[2], version=int(match[3]) if match[3] else None)


def parse_data(reference: str) -> tuple[str, int | None]:
    """Take `NAME@3` apart into the name and the version; None is the latest. Raises ValueError."""
    match = _DATA.fullmatch(_check_data(reference))
    assert match is not None  # _check_data has raised otherwise
    return match[1], None if match[2] in (None, "latest") else int(match[2])
