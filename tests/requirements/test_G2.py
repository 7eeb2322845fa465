"""G2: the best platform for each function from business needs: one file, a verdict per function."""

from __future__ import annotations

import pytest

from plinth.domain.need import needs_of
from plinth.domain.plan import Advice, Outcome
from plinth.planning.advice import make_advice
from plinth.planning.context import Market
from plinth.planning.rules.basic import function_supported
from tests.planning.applications import CATALOG, CONTEXT, MACHINE, application, every_platform
from tests.planning.rules.placed import need, place

WHOLE = application(
    requirements={"regions": ["westeurope"]},
    data={"orders": {"size": "50GB", "region": "westeurope"}},
    explore={"data": ["orders"]},
    train={"data": ["orders"], "demand": {"duration": "2h"}},
    batch={"format": "mlflow-pyfunc", "data": ["orders"], "demand": {"rows": 1_000_000}},
    online={"format": "mlflow-pyfunc"},
    flow={"tool": "langchain"},
)


@pytest.fixture(scope="module")
def advice() -> Advice:
    return make_advice(WHOLE, Market(every_platform(), CATALOG, CONTEXT, (MACHINE,)))


def test_one_file_has_a_need_for_each_of_its_functions() -> None:
    assert [each.function for each in needs_of(WHOLE)] == [
        *("explore", "train", "batch", "online", "flow")
    ]


def test_a_platform_that_does_the_function_is_a_candidate() -> None:
    said = function_supported(need(part="batch"), place("azureml-batch-endpoint"))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "does `batch`")


def test_one_that_does_not_is_rejected_with_what_it_does() -> None:
    said = function_supported(need(part="explore"), place("azureml-online-endpoint"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "needs the function `explore`; it does `online`, `flow`",
    )


def test_every_function_has_an_answer_of_its_own_that_does_it(advice: Advice) -> None:
    assert [part.name for part in advice.parts] == ["explore", "train", "batch", "online", "flow"]
    done = {each.name: each.capability.functions for each in every_platform()}
    for part in advice.parts:
        assert part.chosen is not None, part.name
        assert part.function in done[part.chosen.platform]
        assert part.chosen.is_feasible


def test_every_platform_is_a_candidate_for_every_function(advice: Advice) -> None:
    names = {each.name for each in every_platform()}
    for part in advice.parts:
        assert part.chosen is not None
        assert {part.chosen.platform, *(each.platform for each in part.rejected)} == names


def test_the_answers_are_one_joint_plan(advice: Advice) -> None:
    assert advice.home == "westeurope"
    assert advice.is_feasible
    costs = [part.chosen.cost for part in advice.parts if part.chosen is not None]
    known = [each.amount for each in costs if each is not None]
    assert advice.cost.amount is None or None not in known
