"""R7: benchmarks, not guesses, decide the compute: a plan says *measured* or *estimated*.

The advisor's half; `bench` measures.
"""

from __future__ import annotations

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.rules.general import measured
from tests.planning.rules.placed import admitted, application, place


def test_a_measured_rate_that_holds_the_peak_is_accepted_as_measured() -> None:
    demand = {"requests_per_second": 10, "replica_requests_per_second": 12}
    whole = application(online={"replicas": 3, "demand": demand})
    said = measured(needs_of(whole)[0], place("aks", count=3))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "measured: 3 x 12 requests/s are 36, the peak has 30",
    )


def test_a_measured_rate_that_does_not_is_rejected_with_enough_replicas() -> None:
    demand = {"requests_per_second": 10, "replica_requests_per_second": 12}
    whole = application(online={"replicas": 2, "demand": demand})
    said = measured(needs_of(whole)[0], place("aks", count=2))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "measured: 2 x 12 requests/s are 24, the peak has 30",
    )
    assert said.remedy == "`online.replicas: 3`"
    assert admitted(measured, whole, place("aks", count=2))


def test_a_guess_is_called_an_estimate_and_says_what_to_measure() -> None:
    said = measured(needs_of(application())[0], place("aks"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.UNKNOWN,
        "estimated: measure what one replica answers, then state "
        "`online.demand.replica_requests_per_second`",
    )


def test_of_training_the_sizes_that_were_measured_are_known_and_others_are_not() -> None:
    demand = {"measured": {"D8s_v5": "5h", "D16s_v5": "3h"}}
    (wanted,) = needs_of(application("train", train={"demand": demand}))
    known = measured(wanted, place("azureml-compute-cluster", sku="D16s_v5"))
    guessed = measured(wanted, place("azureml-compute-cluster", sku="D4s_v5"))
    assert known is not None
    assert guessed is not None
    assert (known.outcome, known.reason) == (
        Outcome.OK,
        "measured: one run took 3h 00m on `D16s_v5`",
    )
    assert (guessed.outcome, guessed.reason) == (
        Outcome.UNKNOWN,
        "estimated: `D4s_v5` was not measured, only `D8s_v5`, `D16s_v5`",
    )
