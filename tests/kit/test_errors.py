import pytest

from plinth.kit import errors
from plinth.kit.errors import Denied, Invalid, PlinthError, Temporary


def every_error() -> list[type[PlinthError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, PlinthError)
    ]


@pytest.mark.parametrize("error", every_error())
def test_every_error_has_the_one_json_shape(error):
    content = error("it failed", hint="try again").to_json()
    assert content == {"error": {"code": error.code, "message": "it failed", "hint": "try again"}}
    assert 400 <= error.status < 600


def test_codes_tell_errors_apart():
    codes = [error.code for error in every_error()]
    assert len(codes) == len(set(codes))


def test_a_code_of_its_own_does_not_change_the_others():
    assert Invalid("no", code="invalid_name").code == "invalid_name"
    assert Invalid("no").code == "invalid"


def test_a_temporary_error_says_when_to_try_again():
    assert Temporary("busy", retry_after_s=2.5).retry_after_s == 2.5
    assert str(Temporary("busy")) == "busy"


def test_a_denial_names_the_rule_for_the_audit_log():
    assert Denied("no", rule="role-too-low").rule == "role-too-low"
    assert Denied("no").rule == "denied"
