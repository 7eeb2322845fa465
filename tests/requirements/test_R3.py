"""R3: minimise building, weigh day-2 work: hours a month by task, for each candidate."""

from __future__ import annotations

from plinth.catalog.platforms import load_facts
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.rules.general import work_bearable
from tests.planning.rules.placed import admitted, application, need, place, with_facts

AT_MOST_8 = application(requirements={"day2_hours": 8})


def test_a_managed_endpoint_is_within_the_hours_and_its_tasks_are_told() -> None:
    said = work_bearable(needs_of(AT_MOST_8)[0], place("azureml-online-endpoint"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "7 h of work a month (patching 1, upgrades 1, on call 2, scaling 1, security 2), "
        "at most 8 h are wanted",
    )


def test_a_cluster_is_too_much_work_and_the_hours_it_takes_admit_it() -> None:
    said = work_bearable(needs_of(AT_MOST_8)[0], place("kubernetes"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "24 h of work a month (patching 5, upgrades 6, on call 6, scaling 3, security 4), "
        "at most 8 h are wanted",
    )
    assert admitted(work_bearable, AT_MOST_8, place("kubernetes"))


def test_every_platform_has_its_hours_by_task() -> None:
    for facts in load_facts():
        said = work_bearable(need(), place(facts.name))
        assert said is not None, facts.name
        assert "h of work a month (" in said.reason


def test_the_hours_can_be_edited_and_what_nobody_knows_is_unknown() -> None:
    edited = with_facts(place("kubernetes"), day2={"upgrades": 0.5, "on_call": 1.0, "patching": 1})
    less = work_bearable(needs_of(AT_MOST_8)[0], edited)
    assert less is not None
    assert less.reason.startswith("9.5 h of work a month (patching 1, upgrades 0.5, on call 1")
    without = with_facts(place("kubernetes"), day2={"upgrades": None})
    said = work_bearable(needs_of(AT_MOST_8)[0], without)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "`plinth catalog import` states them (kind: day2-hours)" in said.reason
