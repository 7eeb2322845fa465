"""A flow as a file declares it: steps around models, a prompt flow or an app of one's own."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from plinth.domain.base import Declared, is_stored
from plinth.domain.resources import Count, Seconds, ServerResources
from plinth.domain.serving import MAIN, BodySize, Limit, Timeouts, TrafficPolicy
from plinth.domain.workload_fields import Environment, Network, Text, VariableName, WorkloadBase
from plinth.kit.excerpt import excerpt

_APP = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_.]*")
_CONNECTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,99}")
# What hosts a flow: rows of runtimes/catalog.
PROMPT_FLOW_RUNTIME = "promptflow"
APP_RUNTIME = "asgihost"
DAG_FILE = "flow.dag.yaml"
ROWS_FILE = ".plinth-rows.jsonl"
RESULTS_FILE = ".plinth-results.jsonl"
_VARIANT = r"^[A-Za-z0-9_ -]{1,100}\.[A-Za-z0-9_ -]{1,100}$"
_EVALUATED = (
    *("name", "team", "requirements", "resources", "app", "environment", "variables"),
    *("connections", "network"),
)
_WORKERS = re.compile(r"(?P<least>[0-9]{1,9})\.\.(?P<most>[0-9]{1,9})")
# As long as a worker takes to start.
_SHORTEST_IDLE_S = 1.0
MOST_WORKERS = 64
DEFAULT_IDLE_S = 300.0
DEFAULT_CONCURRENCY = 8
# A key is taken back when its run ends; this is only the longest that one process may run on.
_KEY_S = 366 * 86400.0


def _check_app(value: str) -> str:
    if not _APP.fullmatch(value) or value.partition(":")[0].endswith(".py"):
        raise ValueError(
            f"`{excerpt(value)}` names no object of a module; write it like `main:app` or "
            "`package.module:graph`"
        )
    return value


def _check_connection(value: str) -> str:
    if not _CONNECTION.fullmatch(value):
        raise ValueError(f"`{excerpt(value)}` is not the name of a connection")
    return value


def _check_idle(value: float, info: ValidationInfo) -> float:
    if not is_stored(info) and value < _SHORTEST_IDLE_S:
        raise ValueError(
            f"at least {_SHORTEST_IDLE_S:g} s: a worker takes about as long to start, and would "
            "end before it is of use"
        )
    return value


def _read_workers(value: Any) -> Any:
    if isinstance(value, dict | Workers):
        return value
    match = _WORKERS.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        least, most = int(match["least"]), int(match["most"])
    elif isinstance(value, int) and not isinstance(value, bool):
        least = most = value
    else:
        least = most = 0
    if 1 <= most <= MOST_WORKERS and 0 <= least <= MOST_WORKERS:
        return {"least": least, "most": most}
    raise ValueError(
        f"`{excerpt(str(value))}` is no number of workers; write `0..4`: none while nobody asks "
        f"and four at most, or how many always run, like `2`; {MOST_WORKERS} are the most"
    )


class Workers(Declared):
    """How many processes answer for a flow: `least` while nobody asks, up to `most`."""

    least: Count = Field(ge=0, description="How many always run.")
    most: Count = Field(ge=1, le=MOST_WORKERS, description="How many run at the most.")

    @model_validator(mode="after")
    def _rises(self) -> Workers:
        if self.least > self.most:
            raise ValueError(
                f"`{self}` goes down; write the smaller number first: `{self.most}..{self.least}`"
            )
        return self

    @property
    def is_one(self) -> bool:
        """Whether it is one process that always runs, with the socket for itself."""
        return self.least == self.most == 1

    @property
    def is_fixed(self) -> bool:
        """Whether none of them ever ends for want of work."""
        return self.least == self.most

    def told(self, running: int) -> str:
        """Say in words how many of them run."""
        if running:
            return f"{running} of {self.most} workers run"
        if self.least:
            return f"0 of {self.most} workers run yet"
        return f"asleep: 0 of {self.most} workers run, which costs nothing; a request wakes it"

    def __str__(self) -> str:
        """Return it as a file has it."""
        return str(self.most) if self.is_fixed else f"{self.least}..{self.most}"


AppReference = Annotated[str, AfterValidator(_check_app), Field(title="text like `main:app`")]
ConnectionName = Annotated[str, AfterValidator(_check_connection)]


WorkerRange = Annotated[
    Workers,
    BeforeValidator(_read_workers),
    Field(title="a range like `0..4`, or a number from 1 on"),
]


class FlowDeployment(Declared):
    """What serves a flow: the only deployment of its endpoint, called `main`."""

    external: None = None
    runtime: str
    replicas: Literal[1] = 1
    ready_timeout: Seconds
    grace: Seconds


class PromptFlow(WorkloadBase):
    """Serve a flow under `/flows/NAME`: a prompt flow's folder, or an app written with any library.

    It calls models through the gateway with a key of its own; each request leaves a trace in
    MLflow.
    """

    ends: ClassVar[bool] = False
    calls: ClassVar[bool] = True
    tracked: ClassVar[bool] = True

    kind: Literal["flow"]
    resources: ServerResources = Field(
        default=ServerResources(), description="What one process of it needs."
    )
    code: Text = Field(
        default=".",
        description="The flow's folder, relative to the workload's file. Without `app` it holds "
        "`flow.dag.yaml`.",
    )
    app: AppReference | None = Field(
        default=None,
        description="The object to serve instead of a prompt flow: an ASGI app, or one with "
        "`invoke` or `ainvoke`, as LangGraph and LangChain have.",
    )
    environment: Environment = Field(
        default=Environment(),
        description="The Python packages that the flow needs beside those that run it.",
    )
    variables: dict[VariableName, Text] = Field(
        default_factory=dict, description="Environment variables of the flow."
    )
    connections: dict[ConnectionName, dict[VariableName, Text]] = Field(
        default_factory=dict,
        title="mapping of a name to keys and values",
        description="Custom connections of a prompt flow. Those to OpenAI and Azure OpenAI are "
        "not written down: they lead to the gateway.",
    )
    network: Network = Field(
        default="gateway",
        description="What it may connect to: only Plinth's gateway (models, tracking), or "
        "everything the machine reaches.",
    )
    workers: WorkerRange = Field(
        default=Workers(least=1, most=1),
        description="How many processes answer: as many as requests ask for, within these. With "
        "`0..4` none runs while nobody asks, and the first request waits until one has started.",
    )
    concurrency: Count | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Requests that a worker answers at a time, 8 unless stated; more wait, and "
        "have another worker started. One that always runs alone takes all.",
    )
    idle: Annotated[Seconds, AfterValidator(_check_idle)] | None = Field(
        default=None,
        description="After how long without a request a worker ends that need not run; 5 minutes "
        "unless stated, a second at least.",
    )
    limits: tuple[Limit, ...] = Field(default=(), max_length=100, description="Requests a minute.")
    timeouts: Timeouts = Field(
        default=Timeouts(),
        description="How long is waited; without `request` as long as the flow takes.",
    )
    max_body: BodySize = Field(default=4 * 2**20, description="The largest body of a request.")
    ready_timeout: Seconds = Field(
        default=300.0, description="How long a new version may take until it answers."
    )
    grace: Seconds = Field(
        default=10.0, description="Time between the signals SIGTERM and SIGKILL when it is stopped."
    )

    @model_validator(mode="after")
    def _fits(self) -> PromptFlow:
        if self.app is not None and self.connections:
            raise ValueError("`connections` are of a prompt flow; an app reads `variables`")
        if self.idle is not None and self.workers.is_fixed:
            raise ValueError(
                f"`idle` says when a worker ends, and with `workers: {self.workers}` none does; "
                f"write `workers: 0..{self.workers.most}`"
            )
        if self.concurrency is not None and self.workers.is_one:
            raise ValueError(
                "`concurrency` says how much one of several workers takes, and there is one; "
                "write `workers: 0..4` or `1..4`"
            )
        for number, limit in enumerate(self.limits):
            if limit.tokens_per_minute is not None:
                raise ValueError(
                    f"`limits.{number}.tokens_per_minute`: a flow answers requests; its tokens "
                    "are limited at the endpoints of the models that it calls"
                )
        return self

    @property
    def key_s(self) -> float:
        """For how long, in seconds, a key of one attempt must hold."""
        return _KEY_S

    @property
    def reaches(self) -> Network:
        """What its processes may connect to."""
        return self.network

    @property
    def runtime(self) -> str:
        """The name of the runtime that serves it."""
        return PROMPT_FLOW_RUNTIME if self.app is None else APP_RUNTIME

    def by_name(self) -> dict[str, FlowDeployment]:
        """Return its deployments, as an endpoint does: one, called `main`."""
        only = FlowDeployment(
            runtime=self.runtime, ready_timeout=self.ready_timeout, grace=self.grace
        )
        return {MAIN: only}

    def only(self, name: str) -> PromptFlow:  # noqa: ARG002 - as of an endpoint
        """Return what one deployment is to run, without the traffic: its run's own workload."""
        told = {"limits": (), "timeouts": Timeouts(), "max_body": 4 * 2**20}
        return self.model_copy(update=told)

    @property
    def sleeps(self) -> bool:
        """Whether nothing of it runs while nobody asks."""
        return self.workers.least == 0

    @property
    def policy(self) -> TrafficPolicy:
        """What the gateway must know of it. What was sent is not sent again: steps have effects."""
        return TrafficPolicy(
            limits=self.limits, timeouts=self.timeouts, max_body=self.max_body, retries=0
        )


class FlowEvaluation(WorkloadBase):
    """Run a flow over rows, each variant of it, and note results and metrics in MLflow.

    Made by `plinth flow evaluate`; no file declares it. The rows lie with the code.
    """

    ends: ClassVar[bool] = True
    calls: ClassVar[bool] = True
    tracked: ClassVar[bool] = True

    kind: Literal["evaluation"]
    resources: ServerResources = ServerResources()
    app: AppReference | None = None
    environment: Environment = Environment()
    variables: dict[VariableName, Text] = Field(default_factory=dict)
    connections: dict[ConnectionName, dict[VariableName, Text]] = Field(default_factory=dict)
    network: Network = "gateway"
    variants: tuple[Annotated[str, Field(pattern=_VARIANT)], ...] = Field(
        default=(), max_length=20, description="`NODE.VARIANT`; none: the flow as it is."
    )
    expected: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="The column of the rows that an output should be equal to."
    )
    output: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="The output that is compared; None: the first."
    )
    attempts: Literal[1] = 1
    timeout: Seconds = 3600.0
    grace: Seconds = 10.0

    @classmethod
    def of(cls, flow: PromptFlow, **asked: Any) -> FlowEvaluation:
        """Return the evaluation of a flow; `asked`: `variants`, `expected` and `output`."""
        shared = {name: getattr(flow, name) for name in _EVALUATED}
        return cls(kind="evaluation", **shared, **asked)

    @property
    def key_s(self) -> float:
        """For how long, in seconds, a key of one attempt must hold: as long as it may run."""
        return self.timeout

    @property
    def reaches(self) -> Network:
        """What its processes may connect to."""
        return self.network

    @property
    def runtime(self) -> str:
        """The name of the runtime that runs the flow."""
        return PROMPT_FLOW_RUNTIME if self.app is None else APP_RUNTIME
