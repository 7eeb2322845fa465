"""What a person declares in a file: a workload, told apart by `kind`."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, model_validator

from plinth.domain.base import Declared, Name, TeamName
from plinth.domain.contradiction import Contradiction
from plinth.domain.requirements import Requirements
from plinth.domain.resources import Count, ResourceRequest, Seconds
from plinth.domain.serving import MAIN, External, TrafficPolicy
from plinth.kit.excerpt import excerpt

_MODEL = re.compile(
    r"models:/([A-Za-z0-9][A-Za-z0-9_.-]*)(?:@([A-Za-z][A-Za-z0-9_-]*)|/([0-9]{1,9}))"
)
_DATA = re.compile(r"([a-z][a-z0-9-]*)(?:@([0-9]{1,9}|latest))?")
# A name with extras, versions and a marker, as PEP 508 writes them; no address, path or option.
_PACKAGE = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\s*(\[[A-Za-z0-9._,\s-]*\])?"
    r"\s*(\(?\s*[<>=!~][^;@/\\]*\)?)?\s*(;.+)?"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SINGLE_QUOTED = re.compile(r"'[^']*'")
_DOUBLE_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SHELL_VARIABLE = re.compile(r"\$[A-Za-z_{(]|`")
_SHELL_OPERATOR = re.compile(r"[|;<>]|&(?=&|\s|$)")
_MOST_DEPLOYMENTS = 10
_SHARED_FIELDS = ("model", "external", "runtime", "replicas", "ready_timeout", "grace")
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


def _check_package(value: str) -> str:
    if not _PACKAGE.fullmatch(value.strip()):
        raise ValueError(
            f"`{excerpt(value)}` is not a package; write a name with versions, like "
            "`scikit-learn==1.8.0`. Options, addresses and paths are refused"
        )
    return value


Text = Annotated[str, AfterValidator(_check_text)]
ModelReference = Annotated[
    str, AfterValidator(_check_model), Field(title="`models:/NAME@ALIAS` or `models:/NAME/VERSION`")
]
DataReference = Annotated[str, AfterValidator(_check_data)]
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

    @model_validator(mode="after")
    def _one_source(self) -> Environment:
        if self.file is not None and self.packages:
            raise ValueError("give `file` or `packages`, not both")
        return self


class _Workload(Declared):
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


class Job(_Workload):
    """Run a command to its end: training, tuning, preparing data.

    `code` is a folder relative to the workload's file; `data` maps the name under which the
    command finds the files (`PLINTH_DATA_<NAME>`) to a data version.
    """

    kind: Literal["job"]
    code: Text = Field(
        default=".",
        description="The folder that is copied for the run, relative to the workload's file.",
    )
    command: Command = Field(
        description="The program and its arguments, started in the copy of `code`. No shell reads "
        "it: for variables or pipes write `[sh, -c, '...']`."
    )
    environment: Environment = Field(
        default=Environment(), description="The Python packages that the command needs."
    )
    variables: dict[VariableName, Text] = Field(
        default_factory=dict, description="Environment variables of the command."
    )
    data: dict[Name, DataReference] = Field(
        default_factory=dict,
        title="mapping of name to `NAME@3`, `NAME@latest` or `NAME`",
        description="Data versions to read: `flights: flights@3` is found at the path in "
        "`PLINTH_DATA_FLIGHTS`.",
    )
    attempts: Count = Field(
        default=1,
        ge=1,
        le=10,
        description="How often it is started before it counts as failed; a run that was stopped "
        "for its `timeout` is not started again.",
    )
    timeout: Seconds = Field(
        default=86400.0, description="How long one attempt may run before it is stopped."
    )
    grace: Seconds = Field(
        default=10.0, description="Time between the signals SIGTERM and SIGKILL when it is stopped."
    )
    network: Literal["gateway", "open"] = Field(
        default="gateway",
        description="What it may connect to: only Plinth's gateway (models, tracking), or "
        "everything the machine reaches.",
    )


class EndpointDeployment(Declared):
    """One of several deployments behind an endpoint: a registered model, or one elsewhere."""

    model: ModelReference | None = Field(
        default=None, description="A registered model that Plinth serves."
    )
    external: External | None = Field(
        default=None, description="A model that somebody else serves."
    )
    runtime: Name = Field(
        default="v2server", title="name", description="The model server that runs it."
    )
    replicas: Replicas = Field(default=1, description="How many model servers share the requests.")
    resources: ResourceRequest | None = Field(
        default=None, description="What one replica needs; without it, what the endpoint says."
    )
    ready_timeout: Seconds = Field(
        default=300.0, description="How long a new version may take until it answers rightly."
    )
    grace: Seconds = Field(
        default=10.0, description="Time between the signals SIGTERM and SIGKILL when it is stopped."
    )

    @model_validator(mode="after")
    def _one_model(self) -> EndpointDeployment:
        if (self.model is None) == (self.external is None):
            path = () if self.model is None else ("external",)
            raise Contradiction((path, "give `model` or `external`, one of the two"))
        return self


class Endpoint(_Workload, TrafficPolicy):
    """Serve models under a stable name, behind the gateway.

    One model (`model`), one elsewhere (`external`), or several (`deployments`).
    """

    kind: Literal["endpoint"]
    model: ModelReference | None = Field(
        default=None,
        description="A registered model; an alias is resolved to its version when the file is "
        "applied.",
    )
    external: External | None = Field(
        default=None, description="A model that somebody else serves, instead of `model`."
    )
    deployments: Annotated[dict[Name, EndpointDeployment], Field(max_length=_MOST_DEPLOYMENTS)] = (
        Field(
            default_factory=dict,
            title="mapping of a name to a deployment",
            description="Several deployments by name, instead of `model` or `external`.",
        )
    )
    runtime: Name = Field(
        default="v2server", title="name", description="The model server that runs it."
    )
    replicas: Replicas = Field(default=1, description="How many model servers share the requests.")
    ready_timeout: Seconds = Field(
        default=300.0, description="How long a new version may take until it answers rightly."
    )
    grace: Seconds = Field(
        default=10.0, description="Time between the signals SIGTERM and SIGKILL when it is stopped."
    )

    @model_validator(mode="after")
    def _says_what_it_serves(self) -> Endpoint:
        given = [name for name in ("model", "external", "deployments") if getattr(self, name)]
        if len(given) != 1:
            words = "give one of `model`, `external` and `deployments`"
            if given:
                words += f"; there are {' and '.join(f'`{name}`' for name in given)}"
            raise Contradiction((tuple(given[-1:]), words))
        problems = self.policy_problems(self.by_name())
        if problems:
            raise Contradiction(*problems)
        return self

    def by_name(self) -> dict[str, EndpointDeployment]:
        """Return its deployments; the only one of a short file is called `main`."""
        if self.deployments:
            return dict(self.deployments)
        only = {name: getattr(self, name) for name in _SHARED_FIELDS}
        return {MAIN: EndpointDeployment(**only)}

    def only(self, name: str) -> Endpoint:
        """Return what one deployment is to run, without the traffic: its run's own workload."""
        one = self.by_name()[name]
        shared = {field: getattr(one, field) for field in _SHARED_FIELDS}
        return Endpoint(
            kind="endpoint",
            name=self.name,
            team=self.team,
            requirements=self.requirements,
            resources=one.resources or self.resources,
            **shared,
        )

    @property
    def policy(self) -> TrafficPolicy:
        """What the gateway must know of it."""
        return TrafficPolicy(**{name: getattr(self, name) for name in TrafficPolicy.model_fields})


Workload: TypeAlias = Annotated[Job | Endpoint, Field(discriminator="kind")]
WORKLOAD: TypeAdapter[Job | Endpoint] = TypeAdapter(Workload)
KINDS: dict[str, type[Job | Endpoint]] = {"job": Job, "endpoint": Endpoint}


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
