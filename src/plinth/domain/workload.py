"""What a person declares in a file: a workload, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias, get_args

from pydantic import Field, TypeAdapter, ValidationInfo, model_validator

from plinth.domain.base import STORED, Declared, Name, is_stored
from plinth.domain.batch import BatchInference, Form
from plinth.domain.contradiction import Contradiction
from plinth.domain.flow import FlowDeployment, FlowEvaluation, PromptFlow
from plinth.domain.model_conversion import ModelConversion
from plinth.domain.request_batch import RequestBatch
from plinth.domain.resources import Count, Seconds, ServerResources
from plinth.domain.serving import MAIN, External, TrafficPolicy
from plinth.domain.workload_fields import (
    Command,
    DataReference,
    Environment,
    ModelReference,
    Network,
    Replicas,
    Text,
    VariableName,
    WorkloadBase,
)
from plinth.domain.workspace import Workspace

_MOST_DEPLOYMENTS = 10
_SHARED_FIELDS = ("model", "external", "runtime", "form", "replicas", "ready_timeout", "grace")
# In a file what is asked for; in a run's own workload which of both it is.
_FORM = (
    "How the model answers. `auto`: as MLflow loads it, and from its ONNX form, many times faster, "
    "once that was found to answer the same. `onnx`: from its ONNX form or not at all. `pyfunc`: "
    "as MLflow loads it."
)


class Job(WorkloadBase):
    """Run a command to its end: training, tuning, preparing data.

    `code` is a folder relative to the workload's file; `data` maps the name under which the
    command finds the files (`PLINTH_DATA_<NAME>`) to a data version.
    """

    ends: ClassVar[bool] = True
    calls: ClassVar[bool] = True
    tracked: ClassVar[bool] = True

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
    network: Network = Field(
        default="gateway",
        description="What it may connect to: only Plinth's gateway (models, tracking), or "
        "everything the machine reaches.",
    )

    @property
    def key_s(self) -> float:
        """For how long, in seconds, a key of one attempt must hold: as long as it may run."""
        return self.timeout

    @property
    def reaches(self) -> Network:
        """What its processes may connect to."""
        return self.network


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
    form: Form = Field(default="auto", description=_FORM)
    replicas: Replicas = Field(default=1, description="How many model servers share the requests.")
    resources: ServerResources | None = Field(
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


class Endpoint(WorkloadBase, TrafficPolicy):
    """Serve models under a stable name, behind the gateway.

    One model (`model`), one elsewhere (`external`), or several (`deployments`).
    """

    ends: ClassVar[bool] = False
    calls: ClassVar[bool] = False
    tracked: ClassVar[bool] = False

    kind: Literal["endpoint"]
    model: ModelReference | None = Field(
        default=None,
        description="A registered model; an alias is resolved to its version when the file is "
        "applied.",
    )
    resources: ServerResources = Field(
        default=ServerResources(), description="What one replica needs."
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
    form: Form = Field(default="auto", description=_FORM)
    replicas: Replicas = Field(default=1, description="How many model servers share the requests.")
    ready_timeout: Seconds = Field(
        default=300.0, description="How long a new version may take until it answers rightly."
    )
    grace: Seconds = Field(
        default=10.0, description="Time between the signals SIGTERM and SIGKILL when it is stopped."
    )

    @model_validator(mode="after")
    def _says_what_it_serves(self, info: ValidationInfo) -> Endpoint:
        given = [name for name in ("model", "external", "deployments") if getattr(self, name)]
        if len(given) != 1:
            words = "give one of `model`, `external` and `deployments`"
            if given:
                words += f"; there are {' and '.join(f'`{name}`' for name in given)}"
            raise Contradiction((tuple(given[-1:]), words))
        problems = self.policy_problems(self.by_name(), accepted_before=is_stored(info))
        if problems:
            raise Contradiction(*problems)
        return self

    @property
    def instances(self) -> int:
        """Of how many replicas a run of it consists."""
        return self.replicas

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
        fields = {name: getattr(self, name) for name in TrafficPolicy.model_fields}
        # Checked already: what the store has is not refused here.
        return TrafficPolicy.model_validate(fields, context=STORED)


# What a file of a kind that runs may declare, or a row holds.
AnyWorkload: TypeAlias = (
    Job
    | Endpoint
    | PromptFlow
    | FlowEvaluation
    | BatchInference
    | ModelConversion
    | RequestBatch
    | Workspace
)
Workload: TypeAlias = Annotated[AnyWorkload, Field(discriminator="kind")]
WORKLOAD: TypeAdapter[AnyWorkload] = TypeAdapter(Workload)
KINDS: dict[str, type[AnyWorkload]] = {
    "job": Job,
    "endpoint": Endpoint,
    "flow": PromptFlow,
    "batch": BatchInference,
    "workspace": Workspace,
}
# The kinds of what runs to its end, rather than serve until it is stopped.
ENDING_KINDS: tuple[str, ...] = tuple(
    get_args(each.model_fields["kind"].annotation)[0] for each in get_args(AnyWorkload) if each.ends
)
# What stands behind an endpoint's name: models, or a flow.
Served: TypeAlias = Annotated[Endpoint | PromptFlow, Field(discriminator="kind")]
SERVED: TypeAdapter[Endpoint | PromptFlow] = TypeAdapter(Served)
ServedDeployment: TypeAlias = EndpointDeployment | FlowDeployment
SERVED_KINDS = ("endpoint", "flow")


def granted_as(kind: str) -> str:
    """Return the kind that a grant on a workload names: of a flow, the endpoint that it is."""
    return "endpoint" if kind in SERVED_KINDS else kind
