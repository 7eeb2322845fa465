"""Many requests at once, as OpenAI's Batch API takes them: the run that sends them.

Nobody declares one in a file: `POST /v1/batches` makes it. Its name is the batch's.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from plinth.domain.resources import Count, ResourceRequest, Seconds
from plinth.domain.workload_fields import WorkloadBase

# The beginning of the principals that send batches, whose code is ours. What the gateway's log
# says of a request, by which it is charged once however often it was sent, is believed of nobody
# else (`control/requests.py`). Those of other runs begin with `p_`.
SENDER = "q_"
# A reader of many short answers; it computes nothing.
_CPU = 0.25


class RequestBatch(WorkloadBase):
    """Send the requests of a file through the gateway. `window`: for how long, in seconds."""

    ends: ClassVar[bool] = True
    calls: ClassVar[bool] = True
    tracked: ClassVar[bool] = False

    kind: Literal["requests"]
    input_file: str = Field(description="The file that has a request in each line.")
    requests: Count = Field(ge=1, description="How many requests it has.")
    window: Seconds = Field(description="After how long it is given up.")
    at_once: Count = Field(
        default=32, ge=1, le=64, description="How many requests are under way at the most."
    )
    resources: ResourceRequest = Field(
        default=ResourceRequest(cpu=_CPU), description="What its process needs."
    )
    grace: Seconds = Field(
        default=20.0, description="Time for the requests that are under way when it is stopped."
    )

    @property
    def key_s(self) -> float:
        """For how long, in seconds, a key of one attempt must hold."""
        return self.window


def is_sender(principal: str | None) -> bool:
    """Tell whether a principal is that of a batch's run."""
    return principal is not None and principal.startswith(SENDER)
