"""A whole AI application: parts that share data, regions and how much depends on them.

Only the planner reads it. Each part is one function of the guidance; what all parts share stands
above them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from plinth.domain.base import Declared, Name, TeamName
from plinth.domain.platform import Hours, ModelFormat
from plinth.domain.requirements import Requirements
from plinth.domain.resources import Bytes, Count, ResourceRequest, Seconds, check_number
from plinth.domain.workload import KINDS, AnyWorkload

Number = Annotated[float, BeforeValidator(check_number), Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[Number, Field(le=1_000_000)]
# The lower ends keep out what no arithmetic survives: its inverse is no number any more.
Measured = Annotated[Number, Field(ge=1e-6, le=1_000_000)]
Runs = Annotated[Number, Field(ge=1e-6, le=44_640)]
Weight = Annotated[Number, Field(le=10**9)]
Tokens = Annotated[Count, Field(ge=0, le=10_000_000)]
Rows = Annotated[Count, Field(ge=1, le=10**13)]
Method: TypeAlias = Literal["full", "lora", "preference", "reinforcement"]
FlowTool: TypeAlias = Literal[
    "prompt-flow", "langchain", "langgraph", "semantic-kernel", "agent-service", "asgi"
]
# Hours in a month, a year's 8,760 by twelve: what every cost per month is computed with.
HOURS_PER_MONTH = 730


class Data(Declared):
    """Data that parts read. `size` in bytes."""

    size: Bytes = Field(description="How much one reading of it moves.")
    region: str | None = Field(default=None, description="The region where it lies.")
    platform: Name | None = Field(
        default=None,
        title="name",
        description="The platform that keeps it, like `databricks-jobs`.",
    )
    production: bool = Field(
        default=False,
        description="Whether it is real data of production, whose controls hold everywhere.",
    )


class ExploreDemand(Declared):
    """How much people work in it."""

    users: Annotated[Count, Field(ge=1, le=100_000)] = Field(
        default=1, description="How many people have a workspace."
    )
    hours: Hours = Field(default=80, description="Hours in a month that each of them uses it.")


class TrainDemand(Declared):
    """How often it trains, and how long. `measured`: size of machine -> time of one run."""

    runs: Runs = Field(default=4, description="Runs in a month.")
    duration: Seconds | None = Field(
        default=None, description="How long one run takes on the resources that are stated."
    )
    tokens: Annotated[Count, Field(ge=1, le=10**12)] | None = Field(
        default=None, description="Tokens of one run, where a hosted model is tuned."
    )
    measured: dict[str, Seconds] = Field(
        default_factory=dict,
        description="How long one run took on sizes that were tried, like `D8s_v5: 5h`.",
    )


class BatchDemand(Declared):
    """How often a batch runs and how much it holds."""

    runs: Runs = Field(default=30, description="Runs in a month.")
    rows: Rows | None = Field(default=None, description="Rows, or requests, of one run.")
    duration: Seconds | None = Field(
        default=None, description="How long one run takes on the resources that are stated."
    )
    rows_per_second: Measured | None = Field(
        default=None, description="Rows that one instance was measured to do in a second."
    )
    input_tokens: Tokens | None = Field(default=None, description="Tokens read for one row.")
    output_tokens: Tokens | None = Field(default=None, description="Tokens written for one row.")


class OnlineDemand(Declared):
    """How many requests come, and how large they are."""

    requests_per_second: Rate = Field(default=1, description="On average while anybody asks.")
    peak_requests_per_second: Rate | None = Field(
        default=None, description="In the busiest minute; without it, three times the average."
    )
    active_hours: Hours = Field(
        default=730, description="Hours of a month in which anybody asks at all."
    )
    replica_requests_per_second: Measured | None = Field(
        default=None, description="Requests that one replica was measured to answer in a second."
    )
    measured_latency: Seconds | None = Field(
        default=None, description="How long 99 of 100 requests took when it was measured."
    )
    input_tokens: Tokens | None = Field(default=None, description="Tokens read for one request.")
    output_tokens: Tokens | None = Field(
        default=None, description="Tokens written for one request."
    )

    @model_validator(mode="after")
    def _peak_is_highest(self) -> OnlineDemand:
        if self.peak_requests_per_second is not None and (
            self.peak_requests_per_second < self.requests_per_second
        ):
            raise ValueError(
                f"the peak of {self.peak_requests_per_second:g} requests a second is below the "
                f"average of {self.requests_per_second:g}"
            )
        return self

    @property
    def peak(self) -> float:
        """Requests a second in the busiest minute; three times the average where nobody said."""
        if self.peak_requests_per_second is not None:
            return self.peak_requests_per_second
        return 3 * self.requests_per_second


class _Part(Declared):
    requirements: Requirements = Field(
        default=Requirements(),
        description="What must hold for this part. What stands here replaces what the application "
        "says.",
    )
    resources: ResourceRequest = Field(
        default=ResourceRequest(), description="What one instance of it needs."
    )
    data: tuple[Name, ...] = Field(
        default=(), description="What it reads of the application's `data`, by name."
    )


class _Serving(_Part):
    """What serves a model: one of a provider by its name, or one's own by its format."""

    model: str | None = Field(
        default=None,
        description="A model that a provider hosts, like `gpt-4o`. Give `model` or `format`.",
    )
    format: ModelFormat | None = Field(
        default=None, description="The format of a model of one's own."
    )
    server: Name | None = Field(
        default=None,
        title="name",
        description="The model server that must run it, like `triton`.",
    )

    @model_validator(mode="after")
    def _one_model(self) -> _Serving:
        if self.model is not None and (self.format is not None or self.server is not None):
            raise ValueError(
                "`model` is one that its provider hosts, `format` and `server` are for one's own; "
                "give `model`, or the others"
            )
        return self


class Explore(_Part):
    """People look at data and try things: notebooks."""

    demand: ExploreDemand = Field(default=ExploreDemand(), description="How much it is used.")
    gpu_reason: str | None = Field(
        default=None, description="What a GPU is needed for; without a reason, none is given."
    )
    gpu_hours: Hours | None = Field(
        default=None, description="The most hours of a month that each person may hold a GPU."
    )
    team_share: bool = Field(
        default=False, description="Whether the team's files must be there in every workspace."
    )


class Train(_Part):
    """A model is trained, or tuned."""

    demand: TrainDemand = Field(default=TrainDemand(), description="How often, how long.")
    nodes: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=1, description="How many machines one run spans."
    )
    method: Method | None = Field(
        default=None, description="How a model is tuned; none where one is trained from nothing."
    )
    base_model: str | None = Field(
        default=None, description="The model that is tuned, like `gpt-4o` or `llama-3.1-8b`."
    )


class Batch(_Serving):
    """A model answers many inputs, and nobody waits for each."""

    demand: BatchDemand = Field(default=BatchDemand(), description="How often, how much.")
    nodes: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=1, description="How many machines share the work."
    )
    window: Seconds | None = Field(
        default=None, description="How long one run may take, from its start to the last row."
    )
    target: Literal["model", "pipeline"] = Field(
        default="model", description="What works on the inputs."
    )
    spark: bool = Field(default=False, description="Whether it is a program for Spark.")


class Online(_Serving):
    """A model answers requests that somebody waits for."""

    demand: OnlineDemand = Field(default=OnlineDemand(), description="How many requests.")
    replicas: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=1, description="How many instances share the requests."
    )
    split: bool = Field(
        default=False, description="Whether requests are divided between versions by percentages."
    )
    mirror_percent: Annotated[Count, Field(ge=0, le=100)] = Field(
        default=0, description="Part of the requests that a second version gets a copy of."
    )


class Flow(_Part):
    """Steps around models: a prompt flow, an agent."""

    demand: OnlineDemand = Field(default=OnlineDemand(), description="How many requests.")
    replicas: Annotated[Count, Field(ge=1, le=1000)] = Field(
        default=1, description="How many instances share the requests."
    )
    tool: FlowTool = Field(default="prompt-flow", description="What the flow is written for.")


class Weights(Declared):
    """What a choice weighs besides the cost, in the plan's currency for a month."""

    hour: Weight = Field(default=75, description="An hour of a person's work on day 2.")
    unknown: Weight = Field(default=50, description="Each question whose answer is unknown.")
    reuse: Weight = Field(default=200, description="What using something you own is worth.")
    guidance: Weight = Field(
        default=25, description="What being the guidance's default answer is worth."
    )
    apart: Weight = Field(
        default=50, description="Each part that is not in the application's home region."
    )


Part: TypeAlias = Explore | Train | Batch | Online | Flow


class Application(Declared):
    """Parts that make one application together."""

    kind: Literal["application"]
    name: Name = Field(
        title="name",
        description="Lower-case letters, digits and `-`, starting with a letter, at most 40.",
    )
    team: TeamName | None = Field(
        default=None, title="name", description="The team that owns it and is charged for it."
    )
    requirements: Requirements = Field(
        default=Requirements(), description="What must hold for every part."
    )
    data: dict[Name, Data] = Field(
        default_factory=dict,
        title="mapping of name to data",
        description="Data that parts read, by name.",
    )
    weights: Weights = Field(
        default=Weights(), description="What the choice weighs besides the cost."
    )
    explore: Explore | None = Field(default=None, description="People look and try: notebooks.")
    train: Train | None = Field(default=None, description="A model is trained.")
    tune: Train | None = Field(default=None, description="A model is tuned.")
    batch: Batch | None = Field(default=None, description="A model answers many inputs.")
    online: Online | None = Field(default=None, description="A model answers requests.")
    flow: Flow | None = Field(default=None, description="Steps around models.")

    @model_validator(mode="after")
    def _parts_are_known(self) -> Application:
        parts = self.parts
        if not parts:
            raise ValueError(f"an application has a part at least: {', '.join(PARTS)}")
        for name, part in parts.items():
            for each in part.data:
                if each not in self.data:
                    known = ", ".join(f"`{one}`" for one in self.data) or "none is declared"
                    raise ValueError(
                        f"{name}.data: `{each}` is not in the application's `data`: {known}"
                    )
            for each in part.requirements.isolate_from:
                if each not in parts or each == name:
                    others = ", ".join(f"`{one}`" for one in parts if one != name) or "none"
                    raise ValueError(
                        f"{name}.requirements.isolate_from: `{each}` is not another part; "
                        f"accepted: {others}"
                    )
        return self

    @property
    def parts(self) -> Mapping[str, Part]:
        """The parts that it has, in the order of the guidance."""
        found = {name: getattr(self, name) for name in PARTS}
        return {name: part for name, part in found.items() if part is not None}


PARTS = ("explore", "train", "tune", "batch", "online", "flow")
# Everything that a person declares in a file; an application is only planned.
Declaration: TypeAlias = AnyWorkload | Application
DECLARATIONS: Mapping[str, type[Declaration]] = {**KINDS, "application": Application}
