"""The parts know their address and sign keys."""

from __future__ import annotations

from datetime import timedelta

from plinth.domain.access import PrincipalKind
from tests.control.plane import Plane


def test_a_key_that_was_minted_is_verified_until_it_expires(plane: Plane) -> None:
    context, admin = plane.context, plane.actor().principal
    token = context.mint(admin, "k_x", plane.clock.now() + timedelta(minutes=1))
    claims = context.claims_of(token)
    assert claims is not None
    assert (claims.principal, claims.team, claims.key_id) == ("admin", "default", "k_x")
    assert not claims.is_run
    run = admin.model_copy(update={"kind": PrincipalKind.RUN})
    of_run = context.claims_of(context.mint(run, "k_y", plane.clock.now() + timedelta(minutes=1)))
    assert of_run is not None
    assert of_run.is_run
    plane.clock.advance(120)
    assert context.claims_of(token) is None
    assert context.claims_of("nonsense") is None
    assert context.address == "http://127.0.0.1:1"
