from itertools import product

import pytest

from plinth.domain.run import FINAL, TRANSITIONS, Phase, may_become


def test_every_phase_has_its_row_in_the_table():
    assert set(TRANSITIONS) == set(Phase)


def test_nothing_leaves_a_final_phase_and_only_final_phases_are_left_by_nothing():
    assert {phase for phase in Phase if not TRANSITIONS[phase]} == FINAL
    assert {phase for phase in Phase if phase.is_final} == FINAL


@pytest.mark.parametrize("phase", list(Phase))
def test_staying_is_always_legal(phase):
    assert may_become(phase, phase)


def test_from_every_phase_a_final_one_is_reached():
    reached = set(FINAL)
    while True:
        more = {phase for phase in Phase if TRANSITIONS[phase] & reached} - reached
        if not more:
            break
        reached |= more
    assert reached == set(Phase)


def test_what_is_being_stopped_never_runs_again():
    assert not {Phase.PENDING, Phase.STARTING, Phase.RUNNING} & TRANSITIONS[Phase.STOPPING]


def test_the_question_answers_what_the_table_says():
    for old, new in product(Phase, Phase):
        assert may_become(old, new) == (old is new or new in TRANSITIONS[old])
