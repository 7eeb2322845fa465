"""H20: IaaS, like the Data Science VM: the last rented step, with what it costs in hours."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.ladder import machine_kept_by_hand
from tests.planning.rules.placed import application, need, place, tried


@pytest.mark.parametrize("criticality", ["dev", "production"])
def test_a_machine_kept_by_hand_is_accepted_with_its_hours(criticality: str) -> None:
    asked = need(online={"format": "onnx", "requirements": {"criticality": criticality}})
    said = machine_kept_by_hand(asked, place("data-science-vm"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "the last step before own hardware; patching and on-call are yours: about 20 hours a month"
    )


def test_it_is_rejected_for_what_must_survive_a_region() -> None:
    fields = {"online": {"format": "onnx", "requirements": {"criticality": "critical"}}}
    said = machine_kept_by_hand(need(**fields), place("data-science-vm"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "`critical` has to survive the loss of a region; a machine that is kept by hand does not, "
        "and its upkeep is a person's work already: about 20 hours a month"
    )
    assert said.remedy == "`online.requirements.criticality: production`"
    then = tried(machine_kept_by_hand, application(**fields), place("data-science-vm"))
    assert then.outcome is Outcome.OK


def test_other_steps_are_not_asked() -> None:
    assert machine_kept_by_hand(need(online={"format": "onnx"}), place("aks")) is None
