"""The search for a model's ONNX form: a run that Plinth makes when an endpoint first serves it.

Nobody declares one in a file.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field

from plinth.domain.model import ModelVersion
from plinth.domain.resources import Count, ResourceRequest, Seconds
from plinth.domain.workload_fields import WorkloadBase

_LEAST_BYTES = 2_000_000_000
_NAME_LENGTH = 24


class ModelConversion(WorkloadBase):
    """Convert a model version to ONNX and compare both forms on rows.

    `converter`: the digest of what converts; another one may find another form.
    """

    ends: ClassVar[bool] = True
    calls: ClassVar[bool] = False
    tracked: ClassVar[bool] = False

    kind: Literal["conversion"]
    converter: str = Field(description="What converts and compares, by its digest.")
    attempts: Count = Field(default=3, description="How often it is started at the most.")
    timeout: Seconds = Field(default=600.0, description="How long one attempt may take.")
    grace: Seconds = Field(default=5.0, description="Time between SIGTERM and SIGKILL.")

    @classmethod
    def of(cls, model: ModelVersion, converter: str, resources: ResourceRequest) -> ModelConversion:
        """Return the conversion of a version that is served with these resources.

        It may take twice the memory of one replica, and 2 GB at the least: for a while it holds the
        model, its ONNX form and the answers of both.
        """
        letters = re.sub(r"[^a-z0-9]+", "-", model.name.lower()).strip("-")[:_NAME_LENGTH]
        memory = max(_LEAST_BYTES, 2 * resources.memory)
        return cls(
            kind="conversion",
            name=f"onnx-{letters.strip('-') or 'model'}-{model.version}"[:40].rstrip("-"),
            team=model.team,
            converter=converter,
            resources=ResourceRequest(cpu=1, memory=memory),
        )
