import pytest

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.domain.workload import WORKLOAD
from plinth.planning.rules.duty import (
    break_even_hours,
    compute_ends,
    not_full_time,
    short_and_irregular,
    written_hours,
)
from plinth.planning.rules.rule import Ask
from tests.planning.rules.placed import need, place, with_facts

SERVERLESS = place("azureml-serverless-compute", tier="pay-as-you-go")


@pytest.mark.parametrize("ask", [short_and_irregular, not_full_time])
def test_a_plain_job_does_not_say_how_long_it_runs(ask: Ask) -> None:
    job = WORKLOAD.validate_python({"kind": "job", "name": "fit", "command": ["python"]})
    (plain,) = needs_of(job)
    said = ask(plain, SERVERLESS)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "an application states it as `train.demand.runs`" in said.reason


def test_an_api_of_hosted_models_makes_no_machines_for_a_job() -> None:
    asked = need(part="train", train={"demand": {"duration": "5h"}})
    api = place("azureml-serverless-api", tier="pay-as-you-go")
    assert short_and_irregular(asked, api) is None
    assert not_full_time(asked, api) is None


def test_without_a_limit_every_run_is_short_enough() -> None:
    endless = with_facts(SERVERLESS, limits={"items": None})
    asked = need(part="train", train={"demand": {"runs": 1, "duration": "90d"}})
    said = short_and_irregular(asked, endless)
    assert said is not None
    assert said.outcome is Outcome.OK


def test_exactly_the_break_even_is_still_accepted() -> None:
    hours, _ = break_even_hours()
    asked = need(part="train", train={"demand": {"runs": 1, "duration": hours * 3600}})
    said = not_full_time(asked, SERVERLESS)
    assert said is not None
    assert said.outcome is Outcome.OK


def test_machines_of_ones_own_cost_no_more_while_they_idle() -> None:
    stays = {"compute": {"ephemeral": False}, "scale_to_zero": False}
    own = with_facts(place("kubernetes", tier="own-hardware"), **stays)
    said = compute_ends(need(part="train", train={}), own)
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "the machines are yours already")
    rented = with_facts(place("kubernetes", tier="pay-as-you-go"), **stays)
    said = compute_ends(need(part="train", train={}), rented)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK


def test_what_scales_to_zero_is_empty_between_the_runs() -> None:
    empties = with_facts(place("aks"), compute={"ephemeral": None}, scale_to_zero=True)
    said = compute_ends(need(part="train", train={}), empties)
    assert said is not None
    assert said.reason == "it scales to zero between the runs"


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0.75, "45 min"), (0.0051, "0.306 min"), (36, "36 h"), (182.5, "182.5 h"), (7300, "304 d")],
)
def test_hours_are_written_for_people(hours: float, text: str) -> None:
    assert written_hours(hours) == text
