"""What the organisation owns already: platforms, capacity that is paid for, spend it promised."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from plinth.domain.base import Declared, Name
from plinth.domain.resources import Accelerator, Bytes, Cores, Count

Amount = Annotated[Decimal, Field(ge=0, le=10**9, allow_inf_nan=False)]


class Owned(Declared):
    """One thing that the organisation has. What is None is unknown, or does not apply.

    `platform`: of the catalog. `cpu` in cores and `memory` in bytes are those of one machine,
    `count` says how many there are. `units` of provisioned throughput are for `model`.
    `committed`: the spend a month that is promised, and paid whether it is used or not.
    """

    name: Name = Field(title="name", description="How it is called here.")
    platform: Name = Field(title="name", description="What it is: a platform of the catalog.")
    region: str | None = Field(default=None, description="Where it stands.")
    cpu: Cores | None = Field(default=None, description="Cores of one machine.")
    memory: Bytes | None = Field(default=None, description="Memory of one machine.")
    accelerator: Accelerator | None = Field(
        default=None, title="text like `A100:2`", description="Accelerators of one machine."
    )
    count: Annotated[Count, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="How many machines of that size there are."
    )
    price_per_hour: Amount | None = Field(
        default=None, description="What an hour of one machine costs, as you reckon it."
    )
    model: str | None = Field(
        default=None, description="The model that its provisioned units are for."
    )
    units: Annotated[Count, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Units of provisioned throughput."
    )
    committed: Amount | None = Field(
        default=None, description="Spend of a month that is promised already."
    )
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = Field(
        default="USD", description="The currency of its amounts."
    )


class Inventory(Declared):
    """Everything that is owned, by name."""

    owned: tuple[Owned, ...] = ()

    def of(self, platform: str) -> tuple[Owned, ...]:
        """Return what is owned of a platform."""
        return tuple(each for each in self.owned if each.platform == platform)

    def region_of(self, platform: str) -> str | None:
        """Return where the only, or the first, thing of a platform stands that says so."""
        return next((each.region for each in self.of(platform) if each.region), None)
