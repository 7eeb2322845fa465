"""O2: orchestration gets no GPU: a flow that asks for one is refused with the reason."""

from __future__ import annotations

import pytest

from plinth.control.planning import PlanRefused
from plinth.domain.plan import Outcome
from plinth.planning.rules.flow import no_accelerator
from tests.control.flows.stand import apply_flow
from tests.control.plane import make_plane
from tests.planning.rules.placed import application, need, need_of, place, tried

WITH_GPU = application("flow", flow={"resources": {"accelerator": "A100:2"}})


def test_a_flow_without_a_gpu_is_accepted() -> None:
    said = no_accelerator(need(part="flow"), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "no GPU is asked for; a flow calls models and computes none"


@pytest.mark.parametrize(
    ("platform", "end"),
    [("aks", "stand idle"), ("foundry-agent-service", "stand idle, and it gives none")],
)
def test_a_flow_that_asks_for_a_gpu_is_rejected(platform: str, end: str) -> None:
    said = no_accelerator(need_of(WITH_GPU, "flow"), place(platform))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        f"asks for 2 x A100; a flow calls models that run elsewhere, so it would {end}"
    )
    assert str(said.change) == "flow.resources.accelerator: null"
    then = tried(no_accelerator, WITH_GPU, place(platform), "flow")
    assert then is not None
    assert then.outcome is Outcome.OK


def test_a_flow_that_is_applied_with_a_gpu_is_refused_and_nothing_is_written() -> None:
    with make_plane() as plane:
        with pytest.raises(PlanRefused, match="so it would stand idle") as caught:
            apply_flow(plane, resources={"accelerator": "A100"})
        assert "O2" in caught.value.rules
        assert plane.endpoint("answers") is None
