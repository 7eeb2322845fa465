"""A workspace: a person's notebooks, on compute that exists while somebody works in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from plinth.domain.base import Declared, Name, is_stored
from plinth.domain.resources import Seconds, ServerResources
from plinth.domain.workload_fields import (
    DataReference,
    Environment,
    Network,
    Text,
    WorkloadBase,
)
from plinth.kit.excerpt import excerpt

_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_LONGEST_REASON = 500
_SHORTEST_IDLE_S = 5.0
_DAY_S = 86400.0
_LONGEST_S = 30 * _DAY_S

Tool = Literal["jupyterlab", "marimo"]
Profile = Literal["small", "medium", "large", "gpu", "gpu-large"]
# What one workspace of each size has; `resources` in a file says it otherwise.
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "small": {"cpu": 1.0, "memory": 2_000_000_000},
    "medium": {"cpu": 2.0, "memory": 8_000_000_000},
    "large": {"cpu": 8.0, "memory": 32_000_000_000},
    "gpu": {"cpu": 4.0, "memory": 16_000_000_000, "accelerator": "T4:1"},
    "gpu-large": {"cpu": 16.0, "memory": 64_000_000_000, "accelerator": "A100:1"},
}


def _check_time(value: str) -> str:
    if not _TIME.fullmatch(value):
        raise ValueError(f'`{excerpt(value)}` is not a time of day; write it like `"19:00"`')
    return value


def _check_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise ValueError(
            f"`{excerpt(value)}` is not a time zone; write it like `Europe/Berlin`"
        ) from err
    return value


def _check_reason(value: str) -> str:
    if not value.strip() or len(value) > _LONGEST_REASON:
        raise ValueError(f"say what the GPU is needed for, in 1 to {_LONGEST_REASON} characters")
    return value


def _check_idle(value: float) -> float:
    if value < _SHORTEST_IDLE_S:
        raise ValueError(f"at least {_SHORTEST_IDLE_S:g} s, so that somebody can come back")
    return value


def _check_shortest(value: float, info: ValidationInfo) -> float:
    if not is_stored(info) and value < _SHORTEST_IDLE_S:
        raise ValueError(
            f"at least {_SHORTEST_IDLE_S:g} s, so that it can be opened before it ends"
        )
    return value


def _check_longest(value: float, info: ValidationInfo) -> float:
    _check_shortest(value, info)
    if value > _LONGEST_S:
        raise ValueError(f"at most {_LONGEST_S / _DAY_S:g} days, since its key holds as long")
    return value


class Schedule(Declared):
    """When a workspace stops by itself, every day."""

    stop_at: Annotated[str, AfterValidator(_check_time)] = Field(
        title="time of day",
        description='Like `"19:00"`, in quotes. A cell that runs then is waited for.',
    )
    timezone: Annotated[str, AfterValidator(_check_timezone)] | None = Field(
        default=None,
        title="time zone",
        description="Like `Europe/Berlin`; without it, this machine's own.",
    )


class GpuUse(Declared):
    """Why a GPU is needed, and for how long at most."""

    reason: Annotated[Text, AfterValidator(_check_reason)] = Field(
        description="What the GPU is needed for; it stands in the audit log."
    )
    max_time: Annotated[Seconds, AfterValidator(_check_shortest)] = Field(
        description="After how long the workspace is stopped and the GPU given back, busy or not."
    )


class Workspace(WorkloadBase):
    """Notebooks in a browser, with a personal and a team folder that outlive the compute.

    It stops when nobody works in it, and starts again with the same files.
    """

    ends: ClassVar[bool] = False
    calls: ClassVar[bool] = True
    tracked: ClassVar[bool] = False

    kind: Literal["workspace"]
    tool: Tool = Field(default="jupyterlab", description="What is opened in the browser.")
    profile: Profile = Field(
        default="small",
        description="Its size: "
        + ", ".join(
            f"`{name}` ({size['cpu']:g} core{'' if size['cpu'] == 1 else 's'}, "
            f"{size['memory'] // 10**9} GB"
            + (f", {size['accelerator']}" if "accelerator" in size else "")
            + ")"
            for name, size in PROFILES.items()
        )
        + ". What `resources` says counts before it.",
    )
    resources: ServerResources = Field(
        default=ServerResources(), description="What it needs, where that is not its profile's."
    )
    environment: Environment = Field(
        default=Environment(), description="Python packages beside the tool's own and MLflow."
    )
    data: dict[Name, DataReference] = Field(
        default_factory=dict,
        title="mapping of name to `NAME@3`, `NAME@latest` or `NAME`",
        description="Data versions, read-only: `flights: flights@3` is found at the path in "
        "`PLINTH_DATA_FLIGHTS` and below `data/flights`.",
    )
    shared: bool = Field(
        default=False,
        description="Whether everybody who may write in the team may open it. Without it only its "
        "owner may.",
    )
    idle_stop: Annotated[Seconds, AfterValidator(_check_idle)] = Field(
        default=1800.0,
        description="After how long without work it stops. A cell that runs is work, and so is a "
        "process that computes.",
    )
    schedule: Schedule | None = Field(
        default=None, description="When it stops by itself, whether or not somebody is there."
    )
    gpu: GpuUse | None = Field(
        default=None, description="Needed where the profile has a GPU: why, and for how long."
    )
    max_time: Annotated[Seconds, AfterValidator(_check_longest)] = Field(
        default=7 * _DAY_S,
        description="After how long one session ends in any case; its key holds no longer.",
    )
    ready_timeout: Seconds = Field(
        default=120.0, description="How long the tool may take until it answers."
    )
    grace: Seconds = Field(
        default=10.0, description="Time between the signals SIGTERM and SIGKILL when it is stopped."
    )
    network: Network = Field(
        default="gateway",
        description="What notebooks may connect to: only Plinth's gateway (models, tracking), or "
        "everything the machine reaches.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_profile(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        profile = value.get("profile", cls.model_fields["profile"].default)
        stated = value.get("resources", {})
        if profile not in PROFILES or not isinstance(stated, dict):
            return value
        return {**value, "resources": {**PROFILES[profile], **stated}}

    @model_validator(mode="after")
    def _reasoned_gpu(self) -> Workspace:
        has_gpu = self.resources.accelerator is not None
        if has_gpu and self.gpu is None:
            raise ValueError(
                "a GPU is given for a reason and a time: add "
                "`gpu: {reason: what for, max_time: 4h}`"
            )
        if self.gpu is not None and not has_gpu:
            raise ValueError(
                f"`gpu` says why a GPU is needed, and profile `{self.profile}` has none; "
                "take profile `gpu` or leave it out"
            )
        return self

    @property
    def longest_s(self) -> float:
        """For how long, in seconds, one session may last."""
        return self.max_time if self.gpu is None else min(self.max_time, self.gpu.max_time)

    @property
    def key_s(self) -> float:
        """For how long, in seconds, a key of one attempt must hold: as long as a session."""
        return self.longest_s

    @property
    def reaches(self) -> Network:
        """What its processes may connect to."""
        return self.network

    @property
    def own_resources(self) -> dict[str, Any]:
        """What `resources` says otherwise than the profile."""
        said, of_profile = self.resources, ServerResources.model_validate(PROFILES[self.profile])
        return {
            name: getattr(said, name)
            for name in sorted(said.model_fields_set)
            if getattr(said, name) != getattr(of_profile, name)
        }

    def resized(self, profile: str, gpu: GpuUse | None = None) -> Workspace:
        """Return it with the size of another profile, whatever `resources` said.

        Raises ValueError where it may not have that.
        """
        kept = self.model_dump(exclude={"resources", "profile", "gpu"}, exclude_unset=True)
        asked = {} if gpu is None else {"gpu": gpu.model_dump()}
        return Workspace.model_validate({**kept, "profile": profile, **asked})
