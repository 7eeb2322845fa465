"""Places and platforms are checked against the catalog; defaults follow from what it is for."""

from __future__ import annotations

import pytest

from plinth.kit.errors import Invalid
from plinth.planning.questions.question import read_value
from plinth.planning.questions.questions import find_question


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("residency", "EU", "eu"),
        ("residency", "West Europe", "westeurope"),
        ("data.region", "sweden central", "swedencentral"),
        ("data.platform", "databricks-jobs", "databricks-jobs"),
    ],
)
def test_a_place_is_written_as_the_catalog_writes_it(name: str, written: str, read: str) -> None:
    assert read_value(find_question(name), written) == read


@pytest.mark.parametrize(
    ("name", "written", "said"),
    [
        ("residency", "germny", "did you mean `germany`"),
        ("data.region", "eu", "`eu` is not a region"),
        ("data.platform", "databrick-jobs", "did you mean `databricks-jobs`"),
        ("functions", "trian", "did you mean `train`"),
    ],
)
def test_a_place_that_nobody_knows_is_told_the_nearest(name: str, written: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_value(find_question(name), written)


def test_defaults_follow_from_the_answers() -> None:
    criticality, rto = find_question("criticality"), find_question("rto")
    assert criticality.default_of({"functions": ["explore"]}) == "dev"
    assert criticality.default_of({"functions": ["explore", "online"]}) == "production"
    assert rto.default_of({"criticality": "critical"}) == "1h"
    assert rto.default_of({"criticality": "production"}) is None
    assert not rto.when({"criticality": "dev"})
    readers = find_question("data.read_by")
    assert readers.default_of({"functions": ["train", "online"]}) == "train"
    assert readers.default_of({"functions": ["online"]}) is None
