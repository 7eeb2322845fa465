"""The search for a model's ONNX form is a run that nobody declares, with bounds."""

from __future__ import annotations

import pytest

from plinth.domain.base import NAME_LENGTH
from plinth.domain.model import ModelVersion
from plinth.domain.model_conversion import ModelConversion
from plinth.domain.need import needs_of
from plinth.domain.resources import ResourceRequest
from plinth.domain.workload import ENDING_KINDS, KINDS, WORKLOAD


def conversion_of(name: str = "churn", version: int = 3, memory: int = 10**9) -> ModelConversion:
    model = ModelVersion(team="research", name=name, version=version, artifact_uri="x:/1")
    return ModelConversion.of(model, "abc", ResourceRequest(memory=memory))


def test_nobody_declares_one_in_a_file_and_it_ends() -> None:
    assert "conversion" not in KINDS
    assert "conversion" in ENDING_KINDS
    made = conversion_of()
    assert (made.calls, made.ends, made.tracked, made.reaches) == (False, True, False, "gateway")
    assert WORKLOAD.validate_python(made.model_dump()) == made


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("churn", 3, "onnx-churn-3"),
        ("Flights Delay (EU)", 1, "onnx-flights-delay-eu-1"),
        ("模型", 12, "onnx-model-12"),
        ("a" * 200, 7, f"onnx-{'a' * 24}-7"),
        ("a" * 23 + "-b", 7, f"onnx-{'a' * 23}-7"),
    ],
)
def test_its_name_is_one_whatever_the_model_is_called(
    name: str, version: int, expected: str
) -> None:
    made = conversion_of(name, version).name
    assert made == expected
    assert len(made) <= NAME_LENGTH
    assert ModelConversion.model_validate(conversion_of(name, version).model_dump()).name == made


def test_it_may_take_twice_the_memory_of_a_server_and_2_gb_at_the_least() -> None:
    assert conversion_of().resources.memory == 2_000_000_000
    assert conversion_of(memory=3_000_000_000).resources.memory == 6_000_000_000
    assert "memory" in conversion_of().resources.model_fields_set


def test_it_needs_what_a_batch_needs() -> None:
    (need,) = needs_of(conversion_of())
    assert (need.function, need.kind, need.team) == ("batch", "conversion", "research")
