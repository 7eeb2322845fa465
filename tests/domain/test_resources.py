import pytest
from pydantic import ValidationError

from plinth.domain.resources import Accelerator, ResourceRequest, ServerResources


def test_sizes_become_bytes_and_an_accelerator_is_taken_apart():
    request = ResourceRequest.model_validate(
        {"cpu": 0.5, "memory": "2GiB", "accelerator": "A100:2"}
    )
    assert request.memory == 2**31
    assert request.accelerator == Accelerator(kind="A100", count=2)


def test_one_accelerator_needs_no_number():
    assert Accelerator.model_validate("H100-80GB") == Accelerator(kind="H100-80GB", count=1)


@pytest.mark.parametrize("text", ["", "2", "A100:", "A100:x", "A100:1:2", "A100:" + "9" * 5000])
def test_what_is_no_accelerator_is_refused(text):
    with pytest.raises(ValidationError, match="is not an accelerator; write it like"):
        Accelerator.model_validate(text)


@pytest.mark.parametrize("cpu", [0, -1, True, float("nan"), float("inf"), 1e6])
def test_what_is_no_number_of_cores_is_refused(cpu):
    with pytest.raises(ValidationError, match="cpu"):
        ResourceRequest.model_validate({"cpu": cpu})


@pytest.mark.parametrize("memory", [0, -1, True, "2 apples", 2**50 + 1, "0.5B"])
def test_what_is_no_size_is_refused(memory):
    with pytest.raises(ValidationError, match="memory"):
        ResourceRequest.model_validate({"memory": memory})


def test_less_than_a_thousandth_of_a_core_is_refused():
    with pytest.raises(ValidationError, match=r"greater than or equal to 0\.001"):
        ResourceRequest.model_validate({"cpu": 1e-320})
    assert ResourceRequest.model_validate({"cpu": 0.001}).cpu == 0.001


@pytest.mark.parametrize("memory", ["1kB", "63999999", 1])
def test_less_than_a_server_starts_with_is_refused(memory):
    words = "is too little: a server does not start with less than 64.0 MB"
    with pytest.raises(ValidationError, match=words):
        ServerResources.model_validate({"memory": memory})
    # A command may need next to nothing.
    assert ResourceRequest.model_validate({"memory": memory}).memory < 64_000_000
    assert ServerResources.model_validate({"memory": "64MB"}).memory == 64_000_000
