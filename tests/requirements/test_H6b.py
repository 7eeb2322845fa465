"""H6b: Microsoft Entra ID and other identity platforms. The advisor's half."""

from __future__ import annotations

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.rules.protect import callers_proven
from tests.planning.rules.placed import admitted, application, need, place

ENTRA = application(requirements={"identity": "entra-id"})


def test_a_platform_whose_callers_sign_in_with_entra_is_accepted() -> None:
    said = callers_proven(needs_of(ENTRA)[0], place("azureml-online-endpoint"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "callers can prove who they are by `entra-id`",
    )


def test_one_that_knows_keys_only_is_rejected_with_what_it_takes() -> None:
    said = callers_proven(needs_of(ENTRA)[0], place("external-model-api"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "callers have to prove who they are by `entra-id`; it takes `key`",
    )
    assert said.remedy == "`online.requirements.identity: key`"
    assert admitted(callers_proven, ENTRA, place("external-model-api"))


def test_what_no_document_says_is_unknown_and_without_a_requirement_nothing_is_asked() -> None:
    said = callers_proven(needs_of(ENTRA)[0], place("foundry-hub"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert callers_proven(need(), place("foundry-hub")) is None
