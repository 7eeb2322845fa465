"""A configured place where workloads can run, what it supports, and what it can give."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from plinth.domain.base import Declared
from plinth.domain.resources import Accelerator, Count

# What the guidance asks a platform to do; tuning a model is training it.
Function: TypeAlias = Literal["explore", "train", "batch", "online", "flow"]
# The rungs of the guidance's ladder for online inference, from the least to operate to the most.
Rung: TypeAlias = Literal["saas", "paas", "serverless", "managed", "kubernetes", "iaas", "own"]
PriceTier: TypeAlias = Literal[
    "pay-as-you-go", "spot", "provisioned", "reserved", "batch", "own-hardware"
]
# Where a request may be processed.
Processed: TypeAlias = Literal["machine", "region", "data-zone", "global"]
ModelFormat: TypeAlias = Literal[
    "mlflow-pyfunc",
    "onnx",
    "torchscript",
    "torch-archive",
    "tensorflow-savedmodel",
    "tensorrt",
    "openvino",
    "scikit-learn",
    "xgboost",
    "lightgbm",
    "hugging-face",
    "gguf",
    "python",
    "flow-dag",
    "asgi-app",
]
Stage: TypeAlias = Literal["general-availability", "preview", "retiring", "archived"]
Percent = Annotated[Count, Field(ge=0, le=100)]
Counted = Annotated[Count, Field(ge=0)]
# Strict: `true` is no number. A month has at most 744 hours.
Hours = Annotated[float, Field(ge=0, le=744, allow_inf_nan=False, strict=True)]
Text = Annotated[str, Field(min_length=1)]

_CITATION = frozenset({"source", "checked"})


class Facts(Declared):
    """Facts of one kind and where they come from. A field that is None is unknown, not no.

    `checked`: the day a person compared them with `source`. An empty tuple says "none", which is
    known. Facts without a source are refused.
    """

    source: Text | None = Field(default=None, description="A document's title or address.")
    checked: date | None = Field(default=None, description="The day they were compared with it.")

    @model_validator(mode="after")
    def _is_cited(self) -> Facts:
        missing = sorted(name for name in _CITATION if getattr(self, name) is None)
        if missing and self.known:
            raise ValueError(f"`{missing[0]}` is required where there are facts")
        return self

    @property
    def known(self) -> tuple[str, ...]:
        """The names of the facts that are known, in the order of the fields."""
        names = (name for name in type(self).model_fields if name not in _CITATION)
        return tuple(name for name in names if getattr(self, name) is not None)


class Compute(Facts):
    """What runs there and how it is driven."""

    rung: Rung | None = Field(
        default=None, description="Rung of the ladder: how much of it somebody else operates."
    )
    ephemeral: bool | None = Field(
        default=None, description="Compute exists, and is paid for, only while it is used."
    )
    gpu: bool | None = Field(default=None, description="It can give GPUs, or runs on them itself.")
    distributed: bool | None = Field(default=None, description="One job may span several machines.")
    orchestration: bool | None = Field(
        default=None, description="It brings pipelines or schedules of its own."
    )
    mlflow: Literal["built-in", "client", "none"] | None = Field(
        default=None,
        description="`built-in`: tracking and registry are part of it; `client`: code there can "
        "log to an MLflow elsewhere; `none`: nothing of it reaches MLflow.",
    )
    file_share: bool | None = Field(
        default=None, description="A team's files are mounted into what people work in."
    )


class Supply(Facts):
    """How capacity is bought, and what is promised for it."""

    tiers: tuple[PriceTier, ...] | None = Field(default=None, description="Price tiers.")
    interruptible_tiers: tuple[PriceTier, ...] | None = Field(
        default=None, description="Those whose capacity may be taken back at any time."
    )
    throughput_guaranteed: bool | None = Field(
        default=None, description="A throughput that was paid for is promised."
    )
    noisy_neighbours: bool | None = Field(
        default=None, description="Other customers' load can change its latency."
    )


class Network(Facts):
    """How far traffic to it and from it can be kept off the public network."""

    private_endpoint: bool | None = Field(
        default=None, description="Callers reach it by a private address."
    )
    managed_network: bool | None = Field(
        default=None, description="Its compute can stand in a network that the provider isolates."
    )
    own_network: bool | None = Field(
        default=None, description="Its compute can stand in the customer's own network."
    )
    egress_control: bool | None = Field(
        default=None, description="What its compute may connect to can be limited."
    )


class Identity(Facts):
    """How callers and operators prove who they are."""

    methods: tuple[Literal["entra-id", "key", "token", "ssh", "kubernetes"], ...] | None = Field(
        default=None, description="Ways to authenticate."
    )
    roles: bool | None = Field(default=None, description="Role-based access control of its own.")


class Monitoring(Facts):
    """What can be seen of it, and what cannot."""

    shows: tuple[Text, ...] | None = Field(default=None, description="What can be seen.")
    blind_spots: tuple[Text, ...] | None = Field(default=None, description="What cannot be seen.")


class Regions(Facts):
    """What it survives, and where data may be processed."""

    zone_redundant: bool | None = Field(
        default=None, description="It can go on when one availability zone fails."
    )
    multi_region: Text | None = Field(default=None, description="How it spans regions.")
    processed_in: tuple[Processed, ...] | None = Field(
        default=None,
        description="Where a request may be processed; several where a choice is offered.",
    )


class Tuning(Facts):
    """Which ways of tuning a model it allows, and of which models."""

    methods: tuple[Literal["full", "lora", "preference", "reinforcement"], ...] | None = Field(
        default=None, description="Methods; an empty list: none."
    )
    models: Literal["any", "catalog", "hosted", "none"] | None = Field(
        default=None,
        description="Which models: `any` weights one has, the provider's `catalog`, only some "
        "that it hosts itself, or `none`.",
    )


class Traffic(Facts):
    """How requests can be divided between deployments of one endpoint."""

    split: bool | None = Field(default=None, description="Percentages between deployments.")
    deployments_max: Counted | None = Field(
        default=None, description="Most deployments of one endpoint."
    )
    mirror_percent_max: Percent | None = Field(
        default=None, description="Most of the traffic that can be mirrored; 0: no mirroring."
    )
    mirror_deployments_max: Counted | None = Field(
        default=None, description="To how many deployments at once."
    )


class Batch(Facts):
    """How it works through many inputs."""

    mini_batches: bool | None = Field(default=None, description="Files or rows go in portions.")
    parallel: bool | None = Field(default=None, description="On several machines at once.")
    resumes: bool | None = Field(
        default=None, description="Finished portions survive a lost machine."
    )
    pipelines: bool | None = Field(
        default=None, description="A pipeline, not only a model, can be the target."
    )
    spark: bool | None = Field(default=None, description="It runs Spark jobs.")
    requests_max: Counted | None = Field(default=None, description="Most requests of one batch.")
    window_hours: Hours | None = Field(default=None, description="Aimed time to the answer.")
    discount_percent: Percent | None = Field(
        default=None, description="Below the price of the same requests made online."
    )


class Day2(Facts):
    """Estimated hours of a person's work in a month, by task, for one small production use.

    They are estimates of Plinth, to be edited; `source` says how they were made.
    """

    patching: Hours | None = Field(default=None, description="Systems, images, packages.")
    upgrades: Hours | None = Field(default=None, description="New versions of what it is built on.")
    on_call: Hours | None = Field(default=None, description="Being there, and looking into alerts.")
    scaling: Hours | None = Field(default=None, description="Quotas, sizes, capacity.")
    security: Hours | None = Field(default=None, description="Access reviews, keys, networks.")

    @property
    def total(self) -> float | None:
        """The hours of all tasks; None when one of them is unknown."""
        hours = (self.patching, self.upgrades, self.on_call, self.scaling, self.security)
        known = [each for each in hours if each is not None]
        return sum(known) if len(known) == len(hours) else None


class Maturity(Facts):
    """Whether one should still begin with it."""

    stage: Stage | None = Field(
        default=None,
        description="Where it is in its life; documented without a mark as preview counts as "
        "generally available.",
    )
    retires: date | None = Field(default=None, description="The day it ends, where one is set.")
    successor: Text | None = Field(default=None, description="What its provider names instead.")


class Limit(Declared):
    """One number that stops a workload. `raisable`: the provider can raise it."""

    name: Text
    value: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
    unit: Text
    raisable: bool | None = None


class Limits(Facts):
    """Limits that bite, as they are by default."""

    items: tuple[Limit, ...] | None = Field(default=None, description="Name, value and unit.")
    others: tuple[Text, ...] | None = Field(default=None, description="What no number says.")


class Control(Facts):
    """What is lost where the provider packages the model, or the machine."""

    server_choice: bool | None = Field(
        default=None, description="The model server is the customer's to choose."
    )
    formats: tuple[ModelFormat, ...] | None = Field(
        default=None,
        description="Where it is not: the model formats that its own server takes; an empty list: "
        "no model of one's own.",
    )
    lost: tuple[Text, ...] | None = Field(default=None, description="What is no longer yours.")


class Guidance(Facts):
    """What the guidance says of it."""

    default_for: tuple[Text, ...] | None = Field(
        default=None, description="Requirements that it is the default answer for."
    )
    advice: tuple[Text, ...] | None = Field(default=None, description="When, and when not.")


class FactGroups(Declared):
    """Every group of facts; what is known of none is empty, so that a rule can always ask."""

    compute: Compute = Compute()
    supply: Supply = Supply()
    network: Network = Network()
    identity: Identity = Identity()
    monitoring: Monitoring = Monitoring()
    regions: Regions = Regions()
    tuning: Tuning = Tuning()
    traffic: Traffic = Traffic()
    batch: Batch = Batch()
    day2: Day2 = Day2()
    maturity: Maturity = Maturity()
    limits: Limits = Limits()
    control: Control = Control()
    guidance: Guidance = Guidance()


class Capability(FactGroups):
    """What a platform supports, as data: rules read it, people are shown it. None: unknown.

    `functions` are those of `planning.rules`; `networks` the kinds of a job's network that it can
    hold a job to; `interruptible`: it may take its capacity back at any time. The groups below are
    always there, so that a rule reads `capability.traffic.split` and gets None where it is unknown.
    """

    functions: tuple[str, ...]
    isolation: int | None = None
    scale_to_zero: bool | None = None
    interruptible: bool | None = None
    networks: tuple[str, ...] | None = None
    accelerators: tuple[Accelerator, ...] = ()


class Offer(Declared):
    """A size that a platform can give in a region, at a price for each hour.

    `cpu` in cores, `memory` in bytes; both 0 where a model is bought by its tokens, not a machine.
    `price_per_hour` None: unknown, which is not free. `count`: how many of it there are; None: as
    many as are asked for, as far as is known. `tier`: how it is bought. `accelerator`: what one of
    it has. `model`: the hosted model that it is, `processed_in`: where its requests are then
    processed. `standby`: the second region that takes over. `available`: whether it is sold in the
    region; None: unknown, or nobody asked.
    """

    sku: str
    region: str
    cpu: float
    memory: int
    price_per_hour: Decimal | None = None
    currency: str = "EUR"
    count: int | None = None
    tier: PriceTier | None = None
    accelerator: Accelerator | None = None
    model: str | None = None
    processed_in: Processed | None = None
    standby: str | None = None
    available: bool | None = None


class Platform(Declared):
    """A named place with its capabilities and its offers."""

    name: str
    description: str
    capability: Capability
    offers: tuple[Offer, ...]
    source: str
