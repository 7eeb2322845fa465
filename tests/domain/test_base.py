import pytest
from pydantic import TypeAdapter, ValidationError

from plinth.domain.base import Declared, Name, TeamName, check_name


class Thing(Declared):
    name: Name


@pytest.mark.parametrize("name", ["a", "flights-train", "a1", "x" * 40])
def test_names_are_accepted(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a-", "a_b", "ä", "a b", "a\n", "x" * 41])
def test_what_cannot_stand_in_an_address_is_no_name(name):
    with pytest.raises(ValueError, match="is not a name: lower-case letters"):
        check_name(name)


def test_a_team_s_name_is_shorter_for_it_stands_in_keys():
    teams = TypeAdapter(TeamName)
    assert teams.validate_python("x" * 24) == "x" * 24
    with pytest.raises(ValidationError, match="at most 24 characters"):
        teams.validate_python("x" * 25)


def test_a_declared_value_is_frozen_and_refuses_unknown_fields():
    with pytest.raises(ValidationError, match="frozen"):
        Thing(name="a").name = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Thing.model_validate({"name": "a", "size": 1})
