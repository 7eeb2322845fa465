from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from plinth.domain.model import CodeOrigin, Column, DataVersion, ModelVersion


def test_a_data_version_survives_json_with_its_columns():
    version = DataVersion(
        team="ops",
        name="flights",
        version=3,
        digest="0" * 64,
        uri="file:///data/flights",
        file_name="flights.parquet",
        size_bytes=10,
        rows=2,
        columns=(Column(name="delay", type="double"),),
        created_by="p_1",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert DataVersion.model_validate_json(version.model_dump_json()) == version


def test_a_model_version_never_changes():
    version = ModelVersion(team="ops", name="flights-delay", version=1, artifact_uri="models:/x")
    with pytest.raises(ValidationError, match="frozen"):
        version.version = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    "fields",
    [
        {"commit": "HEAD"},
        {"commit": "a" * 39},
        {"commit": "a" * 40 + "\n"},
        {"commit": "a" * 40, "diff_digest": "../../x"},
        {"commit": "a" * 40, "branch": "x" * 251},
        {"commit": "a" * 40, "remote": "x" * 501},
    ],
)
def test_an_origin_of_code_is_a_whole_commit_and_no_novel(fields):
    with pytest.raises(ValidationError):
        CodeOrigin.model_validate(fields)
    assert CodeOrigin(commit="a" * 64, branch="main").diff_digest is None
