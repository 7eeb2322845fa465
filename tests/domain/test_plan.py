import pytest

from plinth.domain.plan import Candidate, Outcome, Verdict
from plinth.domain.platform import Offer

OFFER = Offer(sku="machine", region="local", cpu=1, memory=1)


@pytest.mark.parametrize(
    ("outcomes", "feasible"),
    [
        ([], True),
        ([Outcome.OK, Outcome.UNKNOWN], True),
        ([Outcome.OK, Outcome.NOT_OK], False),
    ],
)
def test_only_a_rejection_makes_a_candidate_infeasible(outcomes, feasible):
    verdicts = tuple(Verdict(rule="x", outcome=outcome, reason="y") for outcome in outcomes)
    assert Candidate(platform="a", offer=OFFER, verdicts=verdicts).is_feasible is feasible
