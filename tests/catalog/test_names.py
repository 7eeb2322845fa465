"""Names are found however people spell them."""

from __future__ import annotations

from plinth.catalog.names import nearest, spelling


def test_case_spaces_and_dashes_do_not_matter() -> None:
    assert spelling("West Europe") == spelling("west-europe") == spelling("westeurope")


def test_the_nearest_name_is_returned_as_it_is_written() -> None:
    assert nearest("west euroope", ["westeurope", "northeurope"]) == "westeurope"
    assert nearest("zzz", ["westeurope"]) is None
    assert nearest("x" * 10_000, ["westeurope"]) is None
