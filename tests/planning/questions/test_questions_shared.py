"""Questions that several parts share name the field of their part."""

from __future__ import annotations

import pytest

from plinth.kit.errors import Invalid
from plinth.planning.questions.questions_shared import (
    budget,
    check_accelerator,
    check_known,
    machine,
    names,
    resources,
)


def test_fields_are_those_of_the_part() -> None:
    assert budget("flow").field == "flow.requirements.budget"
    assert [each.name for each in resources("train")] == [
        *("train.cpu", "train.memory", "train.accelerator"),
    ]
    assert [each.field for each in machine("explore", bool)] == [
        *("explore.resources.cpu", "explore.resources.memory"),
    ]


def test_one_machine_is_asked_for_only_without_a_hosted_model() -> None:
    cpu = resources("online", "online.model")[0]
    assert cpu.when({"functions": ["online"], "online.model": None})
    assert not cpu.when({"functions": ["online"], "online.model": "gpt-4o"})


def test_an_unknown_name_is_told_the_nearest() -> None:
    assert names(("a", "b")) == "`a`, `b`"
    assert check_known("train", ("train",), "a function") == "train"
    with pytest.raises(Invalid, match="did you mean `train`"):
        check_known("trian", ("train",), "a function")
    with pytest.raises(Invalid, match="not a kind of accelerator"):
        check_accelerator("A1000:2")
    assert check_accelerator("A100:2") == "A100:2"
