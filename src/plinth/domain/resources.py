"""How much a workload asks for: processors, memory, accelerators."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from plinth.domain.base import Declared, is_stored
from plinth.kit.excerpt import excerpt
from plinth.kit.units import format_bytes, parse_bytes, parse_duration

_ACCELERATOR = re.compile(r"([A-Za-z][A-Za-z0-9-]*)(?::([0-9]{1,6}))?")

# A server of Python alone, without the workload's own code, starts with 48 MB and not with 32
# (uvicorn with one thread in Python 3.11 under RLIMIT_DATA, measured on 2026-11-23).
LEAST_SERVER_MEMORY = 64_000_000


def check_number(value: Any) -> Any:
    """Refuse `true` and `false` where a number is needed. Raises ValueError."""
    # Without this, pydantic reads `true` as 1.
    if isinstance(value, bool):
        raise ValueError(f"`{str(value).lower()}` is not a number")
    return value


# `16GB` in a file, bytes in the code; `15m` in a file, seconds in the code. The upper ends keep
# out what no machine has and no timer can hold: 1 PiB, 366 days, 10,000 cores. A thousandth of a
# core is the least that is shared out.
Bytes = Annotated[
    int, BeforeValidator(parse_bytes), Field(gt=0, le=2**50, title="size, like `512MB` or `16GB`")
]
Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(gt=0, le=366 * 86400, title="duration, like `90s`, `15m` or `2h`"),
]
Cores = Annotated[
    float, BeforeValidator(check_number), Field(ge=0.001, le=10_000, allow_inf_nan=False)
]
Count = Annotated[int, BeforeValidator(check_number)]


class Accelerator(Declared):
    """`A100:2` is two accelerators of the kind A100."""

    kind: str = Field(description="The accelerator's name, like `A100`.")
    count: Count = Field(default=1, gt=0, description="How many each replica needs.")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        match = _ACCELERATOR.fullmatch(value)
        if match is None:
            raise ValueError(
                f"`{excerpt(value)}` is not an accelerator; write it like `A100` or `A100:2`"
            )
        return {"kind": match[1], "count": int(match[2] or 1)}


class ResourceRequest(Declared):
    """What one replica needs. `memory` is in bytes."""

    cpu: Cores = Field(default=1.0, description="Processor cores; `0.5` is half of one.")
    memory: Bytes = Field(
        default=1_000_000_000,
        description="Memory; where it is stated, also the most that may be used. An endpoint, a "
        "flow and a workspace need 64 MB at least.",
    )
    accelerator: Accelerator | None = Field(
        default=None,
        title="text like `A100:2`, or a mapping",
        description="Accelerators: none unless asked for.",
    )


def _check_server_memory(value: int, info: ValidationInfo) -> int:
    if not is_stored(info) and value < LEAST_SERVER_MEMORY:
        raise ValueError(
            f"{format_bytes(value)} is too little: a server does not start with less than "
            f"{format_bytes(LEAST_SERVER_MEMORY)}"
        )
    return value


class ServerResources(ResourceRequest):
    """What a process needs that answers requests. `memory` is in bytes."""

    memory: Annotated[Bytes, AfterValidator(_check_server_memory)] = Field(
        default=1_000_000_000, description="Memory; 64 MB at least."
    )


__all__ = [
    "LEAST_SERVER_MEMORY",
    "Accelerator",
    "Bytes",
    "Cores",
    "Count",
    "ResourceRequest",
    "Seconds",
    "ServerResources",
    "check_number",
]
