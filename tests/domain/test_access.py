from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from plinth.domain.access import (
    Action,
    Actor,
    Grant,
    Principal,
    PrincipalKind,
    Role,
    Team,
    workspace_of,
)


def test_roles_stand_in_the_order_of_what_they_may_do():
    assert list(Role) == ["viewer", "contributor", "operator", "admin"]


def test_actions_are_written_as_they_stand_in_addresses_and_logs():
    assert all(action == action.lower() and " " not in action for action in Action)


def test_a_team_s_name_fits_into_a_key():
    with pytest.raises(ValidationError, match="at most 24 characters"):
        Team(name="a" * 25, created_at=datetime(2026, 1, 1, tzinfo=UTC))


def test_an_actor_survives_json_with_its_grants():
    principal = Principal(id="p_1", kind=PrincipalKind.SERVICE, name="ops-bot", team="ops")
    grant = Grant(role=Role.VIEWER, principal="p_1", team="ops", resource="endpoint/flights")
    actor = Actor(principal=principal, grants=(grant,))
    assert Actor.model_validate_json(actor.model_dump_json()) == actor


def test_no_team_has_the_workspace_whose_files_lie_above_all_others():
    assert workspace_of("default") != "default"
    assert workspace_of("a" * 24) == "team-" + "a" * 24
