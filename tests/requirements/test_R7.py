"""R7: benchmarks, not guesses, decide the compute: a plan says *measured* or *estimated*.

The advisor's half; `bench` measures.
"""

from __future__ import annotations

from dataclasses import replace

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.rules.basic import replicas_fit
from plinth.planning.rules.general import measured
from tests.planning.rules.placed import GIB, admitted, application, place


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


PEAK = {"requests_per_second": 300, "replica_requests_per_second": 10}


def test_the_peak_is_held_against_the_machines_that_are_owned() -> None:
    whole = application(online={"format": "mlflow-pyfunc", "demand": PEAK})
    at = place("local", "local", tier="own-hardware", cpu=8, memory=16 * GIB, count=90)
    owned = replace(at, offer=at.offer.model_copy(update={"count": 1}))
    said = measured(needs_of(whole)[0], owned)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "measured: 8 x 10 requests/s are 80, the peak has 900",
    )
    room = replicas_fit(needs_of(whole)[0], owned)
    assert room is not None
    assert (room.outcome, room.reason, room.change) == (
        Outcome.NOT_OK,
        "the peak needs 90 replicas, has room for 8",
        None,
    )


def test_a_peak_that_fits_into_what_is_owned_is_accepted() -> None:
    demand = {**PEAK, "requests_per_second": 20}
    whole = application(online={"format": "onnx", "demand": demand})
    at = place("kubernetes", tier="own-hardware", cpu=4, memory=16 * GIB)
    owned = replace(at, offer=at.offer.model_copy(update={"count": 2}), count=2)
    (need,) = needs_of(whole)
    said, room = measured(need, owned), replicas_fit(need, owned)
    assert said is not None
    assert room is not None
    assert (said.outcome, room.outcome) == (Outcome.OK, Outcome.OK)
    assert said.reason == "measured: 6 x 10 requests/s are 60, the peak has 60"
    assert room.reason == "the peak needs 6 replicas, has room for 8"
