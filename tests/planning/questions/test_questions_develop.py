"""Spot is asked about only with a checkpoint, a GPU's size only with a reason."""

from __future__ import annotations

from plinth.planning.questions.questions import find_question


def test_interruption_is_asked_about_only_with_a_checkpoint() -> None:
    question = find_question("train.interruptible")
    assert not question.when({"functions": ["train"], "train.checkpoint": "none"})
    assert question.when({"functions": ["train"], "train.checkpoint": "verified"})


def test_a_gpu_for_exploring_needs_a_reason_first() -> None:
    for name in ("explore.gpu", "explore.gpu_hours"):
        assert not find_question(name).when({"explore.gpu_reason": None})
        assert find_question(name).when({"explore.gpu_reason": "images"})


def test_tokens_are_asked_for_only_of_a_model_that_somebody_hosts() -> None:
    assert not find_question("tune.tokens").when({"tune.base_model": None})
    assert find_question("tune.tokens").when({"tune.base_model": "gpt-4o-mini"})
