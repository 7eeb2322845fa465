"""Hard constraints: a platform that breaks one of them is not a candidate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from plinth.domain.base import Declared
from plinth.domain.resources import Count

# Level of isolation between a workload and all else on its node; units/isolation names each.
IsolationLevel = Annotated[Count, Field(ge=0, le=4)]


class Requirements(Declared):
    """What must hold wherever the workload runs. An empty field asks nothing."""

    platform: str | None = Field(
        default=None, description="The only platform it may run on, by name, like `local`."
    )
    regions: tuple[str, ...] = Field(
        default=(), description="Regions it may run in; an empty list allows every region."
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
    scale_to_zero: bool = Field(
        default=False, description="Whether nothing may run, and cost, while nobody asks."
    )
