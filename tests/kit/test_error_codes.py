"""Every code that an error carries is explained, and no other."""

from __future__ import annotations

from plinth.kit import errors
from plinth.kit.error_codes import CODES


def test_each_kind_of_error_has_its_code_and_status() -> None:
    kinds = [errors.PlinthError, *errors.PlinthError.__subclasses__(), errors.Busy]
    for kind in kinds:
        assert str(kind.status) in CODES[kind.code].status, kind


def test_each_code_is_explained_in_a_sentence() -> None:
    assert all(each.text.endswith(".") for each in CODES.values())
