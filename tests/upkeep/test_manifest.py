"""What a backup says of itself is checked, field by field."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from plinth.kit.errors import Invalid
from plinth.upkeep.manifest import Origin, check_head, origin_of

FILE = Path("b.tar")
GOOD: dict[str, Any] = {
    "plinth": "0.1.0",
    "schema": "0004",
    "made_at": "2026-11-22T18:00:00.000000Z",
    "home": "/srv/plinth",
    "store": "sqlite",
    "counts": {"store": {"run": 1}},
    "missing": [],
}


def test_a_whole_one_says_when_and_where() -> None:
    at = datetime(2026, 11, 22, 18, tzinfo=UTC)
    assert origin_of(GOOD, FILE) == Origin(at, Path("/srv/plinth"))
    assert origin_of({**GOOD, "schema": None, "more": 1}, FILE).made_at == at


@pytest.mark.parametrize("name", GOOD)
def test_what_is_missing_is_named(name: str) -> None:
    content = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(Invalid, match=f"`b.tar` is damaged.*`{name}` is missing") as refused:
        origin_of(content, FILE)
    assert refused.value.code == "backup_damaged"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("made_at", value) for value in (None, 3, "", "yesterday", "2026-11-22T18:00:00")),
        *(("made_at", f"{year}-01-01T00:00:00.000000Z") for year in ("0001", "9999")),
        *(("home", value) for value in (None, 3, "", "h", "../h", "/h/../..", "/h\0", ["/h"])),
        *(("plinth", value) for value in (None, 1, {})),
        *(("schema", value) for value in (4, [], {})),
        *(("store", value) for value in (None, "oracle", [])),
        *(("counts", value) for value in (None, [], {"store": 1}, {"store": {"run": "x"}})),
        *(("missing", value) for value in (None, "x", [1])),
    ],
)
def test_what_is_wrong_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(Invalid, match=f"`{name}` is `.*` where .* is needed"):
        origin_of({**GOOD, name: value}, FILE)


def test_a_value_without_end_is_cut() -> None:
    with pytest.raises(Invalid) as refused:
        origin_of({**GOOD, "home": "x" * 100_000}, FILE)
    assert len(refused.value.message) < 300


def test_the_head_says_less() -> None:
    check_head({"format": 1, "plinth": "0.1.0", "schema": None}, FILE)
    for head in ({"plinth": "0.1.0"}, {"plinth": "0.1.0", "schema": []}, {"schema": "0001"}):
        with pytest.raises(Invalid, match="is damaged"):
            check_head(head, FILE)
