"""H6a: access to endpoints is by role: who was granted its use may call it, others get 403.

The gateway refuses by the same grants: `tests/journeys/test_gateway.py` asks a real Envoy.
"""

from __future__ import annotations

import json

import pytest

from plinth.access.rbac import callers_of
from plinth.domain.access import Grant, Role
from plinth.gateway.snapshot import render
from tests.gateway.test_snapshot import BUSY

ON_CHURN = Grant(role=Role.VIEWER, principal="p_ann", team="research", resource="endpoint/churn")


@pytest.fixture
def texts() -> str:
    return json.dumps(render(BUSY).routes.items)


def test_who_has_a_role_on_the_endpoint_or_its_team_may_call_it() -> None:
    whole_team = Grant(role=Role.VIEWER, subject_team="sales", team="research")
    principals, teams = callers_of("research", "churn", [ON_CHURN, whole_team])
    assert "p_ann" in principals
    assert "sales" in teams


def test_a_role_elsewhere_gives_nothing_here() -> None:
    for other in ({"resource": "endpoint/price"}, {"team": "ops", "resource": None}):
        grant = ON_CHURN.model_copy(update=other)
        principals, _ = callers_of("research", "churn", [grant])
        assert "p_ann" not in principals


def test_the_gateway_knows_the_callers_of_each_endpoint_and_refuses_by_default(texts: str) -> None:
    for caller in ("p_ann", "p_bob", "p_cia"):
        assert caller in texts
    assert "this key may call nothing at this address" in texts
