"""A hosted model is asked for tokens, one's own for its format and its machine."""

from __future__ import annotations

import pytest

from plinth.planning.questions.questions import find_question

HOSTED = {"functions": ["batch", "online"], "batch.model": "gpt-4o", "online.model": "gpt-4o"}
OWN = {**HOSTED, "batch.model": None, "online.model": None}


@pytest.mark.parametrize("part", ["batch", "online"])
def test_questions_follow_from_whose_model_it_is(part: str) -> None:
    for name in ("format", "cpu", "memory", "accelerator"):
        assert find_question(f"{part}.{name}").when(OWN)
        assert not find_question(f"{part}.{name}").when(HOSTED)
    for name in ("input_tokens", "output_tokens"):
        assert find_question(f"{part}.{name}").when(HOSTED)
        assert not find_question(f"{part}.{name}").when(OWN)


def test_a_promise_of_throughput_is_asked_for_where_it_is_sold() -> None:
    assert find_question("online.guaranteed_throughput").when(HOSTED)
    assert not find_question("online.guaranteed_throughput").when(OWN)
