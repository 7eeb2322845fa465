"""E7: no full exploration platform, and no GPU, unless it is needed."""

from __future__ import annotations

from plinth.domain.plan import Outcome
from plinth.planning.rules.explore import gpu_reasoned
from tests.planning.rules.placed import application, apply, need, place

GPU = {"resources": {"accelerator": "A100:2"}}


def test_a_gpu_with_a_reason_is_given_and_the_reason_is_named() -> None:
    asked = {**GPU, "gpu_reason": "embeddings of 2 M images"}
    said = gpu_reasoned(need(part="explore", explore=asked), place("azureml-compute-instance"))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "2 x A100 for: embeddings of 2 M images")


def test_a_gpu_without_a_reason_is_refused_everywhere() -> None:
    whole = application("explore", explore=GPU)
    for name in ("azureml-compute-instance", "databricks-jobs"):
        said = gpu_reasoned(need(part="explore", explore=GPU), place(name))
        assert said is not None
        assert said.outcome is Outcome.NOT_OK
        assert said.reason == (
            "2 x A100 is asked for without `explore.gpu_reason`; "
            "no GPU is given unless it is needed"
        )
        assert str(said.change) == "explore.resources.accelerator: null"
        assert said.change is not None
        assert gpu_reasoned(apply(whole, said.change, "explore"), place(name)) is None


def test_a_reason_of_spaces_is_none() -> None:
    asked = {**GPU, "gpu_reason": "  "}
    said = gpu_reasoned(need(part="explore", explore=asked), place("azureml-compute-instance"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK


def test_without_a_gpu_nothing_is_asked() -> None:
    assert gpu_reasoned(need(part="explore", explore={}), place("data-science-vm")) is None
