"""H10: fixed throughput for the base and burst for the peaks, sized from a trace.

`plinth size` sizes the mix and shows the split of cost. Here it is held to real traces: Azure's LLM
inference traces of 2023 (CC-BY-4.0) and Mooncake's (Apache-2.0), half an hour each. The planner
says of each candidate's tier which part of the load it is for. Running the mix (base first, spill
to burst) is the gateway's and not here.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from plinth.catalog.provisioned import find_provisioned, load_provisioned
from plinth.cli.size import read_trace
from plinth.domain.plan import Outcome, Verdict
from plinth.kit.errors import Invalid
from plinth.planning.rules.online import base_and_burst
from plinth.planning.sizing.arrivals import Arrivals
from plinth.planning.sizing.sizing import Sizing, size
from plinth.planning.sizing.sizing_inputs import Given, make_inputs
from tests.planning.rules.placed import application, need, place, tried

TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"
NAMES = (
    "azure_llm_2023_code",
    "azure_llm_2023_conv",
    "mooncake_conversation",
    "mooncake_synthetic",
)
MODELS = load_provisioned()


def real(name: str) -> Arrivals:
    file = TRACES / f"{name}.csv.gz"
    if not file.exists():
        pytest.skip(f"the trace {name} is not beside this checkout")
    return read_trace(file)


def sized(arrivals: Arrivals, given: Given, model: str = "gpt-4o") -> Sizing:
    return size(make_inputs(arrivals, find_provisioned(MODELS, model, "Global"), given).question)


def waves(seconds: int) -> Arrivals:
    """A base of one request a second, and ten times as many in every tenth minute."""
    times = [
        second + part / 10
        for second in range(seconds)
        for part in range(10 if second // 60 % 10 == 9 else 1)
    ]
    return Arrivals(tuple(times), (1000,) * len(times), (100,) * len(times))


def test_units_carry_the_base_and_burst_the_peaks_where_units_are_cheap_enough() -> None:
    made = sized(waves(3600), Given(unit_hour=Decimal("0.2")))
    # The base weighs 84,000 tokens a minute: 33.6 units. The peaks weigh ten times as much.
    assert made.chosen.units in (35, 40, 45)
    assert Fraction(1, 4) < made.chosen.share.requests < Fraction(1, 2)
    assert made.provisioned is not None
    assert made.provisioned.units > 150
    total = made.chosen.total
    assert total is not None
    assert total < (made.burst_only.total or 0)
    assert total < (made.provisioned.total or 0)
    # The split of cost is shown.
    assert made.chosen.base == made.chosen.units * Fraction("0.2") * 730
    assert made.chosen.burst == total - made.chosen.base


def test_a_peak_that_no_allowed_count_can_carry_is_rejected_with_what_to_change() -> None:
    with pytest.raises(Invalid) as refused:
        sized(waves(3600), Given(spill=Fraction(1, 100), most=100))
    assert "no count up to 100 units keeps to the goal of at most 1.00%" in refused.value.message
    assert "--max-units" in (refused.value.hint or "")


@pytest.mark.parametrize("name", NAMES)
def test_a_real_trace_is_sized_and_its_halves_are_told(name: str) -> None:
    arrivals = real(name)
    made = sized(arrivals, Given(spill=Fraction(1, 20)))
    assert made.chosen.is_within_goal
    assert made.chosen.share.requests <= Fraction(1, 20)
    halves = made.halves
    assert halves is not None
    assert halves.predicted.requests <= Fraction(1, 20)
    parts = halves.observed.of.requests + halves.predicted.of.requests
    assert parts == halves.whole.of.requests == len(arrivals)
    # The whole's spill is the first half's and the second's, since the bucket starts empty in both.
    assert (
        halves.whole.spilled.requests
        == halves.predicted.spilled.requests + halves.observed.spilled.requests
    )


# What the first half predicts for the second and what really spilled there, in percent.
@pytest.mark.parametrize(
    ("name", "units", "predicted", "observed", "whole"),
    [
        ("azure_llm_2023_code", 260, 4.80, 6.38, 5.79),
        ("azure_llm_2023_conv", 240, 4.35, 22.40, 14.43),
        ("mooncake_conversation", 980, 4.64, 10.15, 7.55),
    ],
)
def test_the_prediction_is_as_good_as_traffic_is_steady(
    name: str, units: int, predicted: float, observed: float, whole: float
) -> None:
    halves = sized(real(name), Given(spill=Fraction(1, 20))).halves
    assert halves is not None
    assert halves.units == units
    assert float(halves.predicted.requests) * 100 == pytest.approx(predicted, abs=0.006)
    assert float(halves.observed.requests) * 100 == pytest.approx(observed, abs=0.006)
    assert float(halves.whole.requests) * 100 == pytest.approx(whole, abs=0.006)
    # In each of them the second half is the busier one, and that is told.
    assert halves.second_rate > halves.first_rate


@pytest.mark.parametrize("name", NAMES)
def test_waiting_two_seconds_is_kept_to(name: str) -> None:
    made = sized(real(name), Given(p99_wait_s=2.0))
    assert made.chosen.share.requests <= Fraction(1, 100)
    assert made.waits is None or made.waits.longest_s < 2.0


BOT = {
    "model": "gpt-4o",
    "demand": {"requests_per_second": 2, "peak_requests_per_second": 20},
}
PROMISED = {**BOT, "requirements": {"guaranteed_throughput": True}}
UNITS = place("azure-openai-provisioned", tier="provisioned", model="gpt-4o")
BURST = place("azure-openai-standard", tier="pay-as-you-go", model="gpt-4o")
EXACT = "`plinth size --trace` sizes it exactly"


def judged(online: dict[str, object], on_units: bool) -> Verdict:
    said = base_and_burst(need(online=online), UNITS if on_units else BURST)
    assert said is not None
    return said


def test_a_candidate_with_units_takes_the_base_first_and_spills_the_peak() -> None:
    said = judged(BOT, on_units=True)
    assert said.outcome is Outcome.OK
    assert said.reason == (
        f"base first, 2 requests a second; the peak of 20 spills to pay-as-you-go; {EXACT}"
    )


def test_a_candidate_whose_whole_throughput_is_promised_has_to_carry_the_peak() -> None:
    said = judged(PROMISED, on_units=True)
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "the units have to carry the peak of 20 requests a second: what spills is promised by "
        f"nobody; {EXACT}"
    )


def test_a_steady_load_has_no_peak_to_spill() -> None:
    steady = {**BOT, "demand": {"requests_per_second": 2, "peak_requests_per_second": 2}}
    assert judged(steady, on_units=True).reason.startswith("a steady 2 requests a second")


def test_a_candidate_of_burst_alone_is_accepted_until_the_base_must_be_promised() -> None:
    assert judged(BOT, on_units=False).outcome is Outcome.OK
    said = judged(PROMISED, on_units=False)
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "the base of 2 requests a second must be promised; `pay-as-you-go` alone is for the burst"
    )
    assert tried(base_and_burst, application(online=PROMISED), BURST).outcome is Outcome.OK


def test_a_model_of_ones_own_has_no_units() -> None:
    assert base_and_burst(need(online={"format": "onnx"}), place("aks")) is None
