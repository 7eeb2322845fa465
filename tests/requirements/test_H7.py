"""H7: monitoring of endpoints: what a platform does not show is listed. The advisor's half."""

from __future__ import annotations

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.advice import make_advice
from plinth.planning.context import Market
from plinth.planning.rules.general import seen
from tests.planning.applications import CATALOG, CONTEXT, MACHINE, every_platform
from tests.planning.rules.placed import admitted, application, need, place, with_facts

PRODUCTION = application(requirements={"criticality": "production"})


def test_blind_spots_are_listed_with_the_acceptance() -> None:
    said = seen(needs_of(PRODUCTION)[0], place("azureml-online-endpoint"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "not to be seen: logs until they are enabled; the first hour after that; "
        "what a request said",
    )


def test_production_is_rejected_where_nothing_can_be_seen() -> None:
    dark = with_facts(place("azureml-online-endpoint"), monitoring={"shows": ()})
    said = seen(needs_of(PRODUCTION)[0], dark)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "`production` has to be watched, and nothing of it can be seen",
    )
    assert admitted(seen, PRODUCTION, dark)


def test_what_no_document_says_is_unknown() -> None:
    said = seen(need(part="flow"), place("foundry-hub"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN


def test_every_candidate_of_a_plan_shows_its_blind_spots() -> None:
    whole = application(online={"format": "mlflow-pyfunc"}, requirements={"regions": ["eastus"]})
    (part,) = make_advice(whole, Market(every_platform(), CATALOG, CONTEXT, (MACHINE,))).parts
    shown = {each.platform: each.blind_spots for each in part.rejected}
    for platform in every_platform():
        known = platform.capability.monitoring.blind_spots
        assert shown.get(platform.name, known) == known
