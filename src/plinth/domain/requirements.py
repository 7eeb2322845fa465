"""Hard constraints: a platform that breaks one of them is not a candidate."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from plinth.domain.base import Declared, Name
from plinth.domain.platform import Hours
from plinth.domain.resources import Count, Seconds
from plinth.kit.excerpt import excerpt

# How much depends on it, from the least to the most; a rule compares their places in this order.
Criticality: TypeAlias = Literal["dev", "test", "production", "critical"]
CRITICALITIES: tuple[Criticality, ...] = ("dev", "test", "production", "critical")
# Whether work that was taken from it goes on where it was: said so, or shown by taking it away.
Checkpoint: TypeAlias = Literal["none", "declared", "verified"]
_BUDGET = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,2})?) *([A-Z]{3})")

# Level of isolation between a workload and all else on its node; units/isolation names each.
IsolationLevel = Annotated[Count, Field(ge=0, le=4)]


class Budget(Declared):
    """`3000 EUR` is the most that a month may cost."""

    amount: Annotated[Decimal, Field(gt=0, le=10**12, allow_inf_nan=False)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, int | float | Decimal):
            raise ValueError(f"`{value}` has no currency; write it like `3000 EUR`")
        if not isinstance(value, str):
            return value
        match = _BUDGET.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"`{excerpt(value)}` is not a budget; write it like `3000 EUR`")
        return {"amount": match[1], "currency": match[2]}


class Requirements(Declared):
    """What must hold wherever the workload runs. An empty field asks nothing."""

    platform: str | None = Field(
        default=None, description="The only platform it may run on, by name, like `local`."
    )
    regions: tuple[str, ...] = Field(
        default=(),
        description="Regions it may run in, or groups of them like `eu`; an empty list allows "
        "every region.",
    )
    residency: str | None = Field(
        default=None,
        description="Where its data must stay while it is kept and while it is processed: a region "
        "or a group of regions like `eu` or `germany`.",
    )
    same_region: bool = Field(
        default=False, description="Whether it must stand in the region where its data lies."
    )
    criticality: Criticality | None = Field(
        default=None,
        description="How much depends on it: `dev`, `test`, `production`, or `critical`, which has "
        "to survive the loss of a region.",
    )
    rto: Seconds | None = Field(
        default=None, description="The longest it may be away after a zone or a region is lost."
    )
    freshness: Seconds | None = Field(
        default=None, description="The oldest that a model may become before it is trained again."
    )
    latency: Seconds | None = Field(
        default=None, description="How long 99 of 100 requests may take at most."
    )
    guaranteed_throughput: bool = Field(
        default=False, description="Whether the throughput must be promised by who provides it."
    )
    private_network: bool = Field(
        default=False,
        description="Whether it may be reached, and may reach others, by private addresses only.",
    )
    isolate_from: tuple[Name, ...] = Field(
        default=(),
        description="Parts of the application that it must not share compute with.",
    )
    identity: Literal["entra-id", "key", "token", "ssh", "kubernetes"] | None = Field(
        default=None, description="How callers must be able to prove who they are."
    )
    budget: Budget | None = Field(
        default=None,
        title="text like `3000 EUR`, or a mapping",
        description="The most that a month of it may cost.",
    )
    commitment: bool = Field(
        default=False,
        description="Whether a year may be paid for whether it is used or not (reservations).",
    )
    day2_hours: Hours | None = Field(
        default=None, description="The most hours of a person's work that a month of it may take."
    )
    isolation: IsolationLevel | None = Field(
        default=None,
        title="whole number from 0 to 4",
        description="The lowest acceptable level of isolation from everything else on the node: "
        "`0` own process group and limits, `1` no new privileges, `2` files, sockets and system "
        "calls confined, `3` own view of the file system, `4` own machine or kernel. Without it, "
        "the best level that the platform offers is taken.",
    )
    interruptible: bool = Field(
        default=False,
        description="Whether it may be stopped at any time and started again (spot capacity).",
    )
    checkpoint: Checkpoint = Field(
        default="none",
        description="Whether it goes on where it was when it was interrupted: `declared` by its "
        "author, or `verified` by interrupting it.",
    )
    scale_to_zero: bool = Field(
        default=False, description="Whether nothing may run, and cost, while nobody asks."
    )
