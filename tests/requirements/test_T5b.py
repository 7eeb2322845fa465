"""T5b: spot only for training that bears interruption, shown by interrupting it."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.basic import interruption_bearable
from plinth.planning.rules.train import checkpoint_verified
from tests.planning.rules.placed import admitted, application, need, place

SPOT = place("azureml-serverless-spot", tier="spot")


def fields(**requirements: object) -> dict[str, object]:
    return {"train": {"requirements": requirements}}


def test_a_verified_checkpoint_is_accepted() -> None:
    asked = need(part="train", **fields(interruptible=True, checkpoint="verified"))
    for ask in (interruption_bearable, checkpoint_verified):
        said = ask(asked, SPOT)
        assert said is not None
        assert said.outcome is Outcome.OK


@pytest.mark.parametrize(
    ("checkpoint", "reason"),
    [
        (
            "declared",
            "that it goes on after an interruption is declared, and not yet shown by "
            "interrupting it",
        ),
        (
            "none",
            "it would lose its work at each interruption: no checkpoint is declared or verified",
        ),
    ],
)
def test_what_is_only_declared_is_refused(checkpoint: str, reason: str) -> None:
    asked = fields(interruptible=True, checkpoint=checkpoint)
    said = checkpoint_verified(need(part="train", **asked), SPOT)
    assert said is not None
    assert (said.rule, said.outcome, said.reason) == ("T5b.checkpoint", Outcome.NOT_OK, reason)
    assert str(said.change) == "train.requirements.checkpoint: verified"
    whole = application("train", **asked)
    assert admitted(checkpoint_verified, whole, SPOT, "train")


def test_work_that_may_not_be_interrupted_is_refused() -> None:
    asked = fields(checkpoint="verified")
    said = interruption_bearable(need(part="train", **asked), SPOT)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    whole = application("train", **asked)
    assert admitted(interruption_bearable, whole, SPOT, "train")


def test_the_spot_machines_of_a_cluster_are_asked_too_and_its_others_are_not() -> None:
    asked = need(part="train", **fields(interruptible=True))
    said = checkpoint_verified(asked, place("azureml-compute-cluster", tier="spot"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    full = place("azureml-compute-cluster", tier="pay-as-you-go")
    assert checkpoint_verified(asked, full) is None
    assert checkpoint_verified(asked, place("local", "local", tier="own-hardware")) is None
