"""Which runs served a model version, and which read a data version."""

from __future__ import annotations

from plinth.domain.model import DataVersion, Lineage, ModelVersion
from plinth.domain.run import Phase
from plinth.store.lineage import list_deployments_from, list_deployments_of, list_readers_of
from plinth.store.runs import delete_run
from plinth.store.session import Database
from tests.store.rows import ENDPOINT, NOW, later, run_in


def model_of(version: int = 1, **fields: object) -> ModelVersion:
    declared = {"team": "research", "name": "m", "version": version, "artifact_uri": f"x/{version}"}
    return ModelVersion.model_validate(declared | fields)


def data_of(version: int = 1, **fields: object) -> DataVersion:
    declared = {
        "team": "research",
        "name": "flights",
        "version": version,
        "digest": f"{version:x}" * 64,
        "uri": "file:///x",
        "file_name": "x.csv",
        "size_bytes": 1,
        "rows": 1,
        "columns": (),
        "created_by": "p_1",
        "created_at": NOW,
    }
    return DataVersion.model_validate(declared | fields)


def test_deployments_of_a_version_are_found_newest_first_also_deleted_ones(
    database: Database,
) -> None:
    with database.write() as connection:
        run_in(connection, "r_old", workload=ENDPOINT, model=model_of(), phase=Phase.STOPPED)
        delete_run(connection, "r_old", later(9))
        run_in(connection, "r_new", workload=ENDPOINT, model=model_of(), created_at=later(1))
        run_in(connection, "r_two", workload=ENDPOINT, model=model_of(2))
        run_in(connection, "r_ops", "ops", workload=ENDPOINT, model=model_of(team="ops"))
        run_in(connection, "r_anew", workload=ENDPOINT, model=model_of(artifact_uri="y/1"))
        run_in(connection, "r_job")
        found = list_deployments_of(connection, model_of())
        assert [run.id for run in found] == ["r_new", "r_old"]
        assert [run.id for run in list_deployments_of(connection, model_of(), limit=1)] == ["r_new"]


def test_jobs_that_read_a_version_are_its_teams(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a", data={"in": data_of(), "more": data_of(2)})
        run_in(connection, "r_b", data={"in": data_of(2)})
        run_in(connection, "r_ops", "ops", data={"in": data_of(team="ops")})
        # The same bytes under another name are another dataset's version.
        run_in(connection, "r_c", data={"in": data_of(name="copy")})
        assert [run.id for run in list_readers_of(connection, data_of())] == ["r_a"]
        assert [run.id for run in list_readers_of(connection, data_of(2))] == ["r_a", "r_b"]


def test_deployments_are_found_by_the_data_of_their_lineage(database: Database) -> None:
    came = Lineage(reference="models:/m/1", data={"in": data_of()})
    with database.write() as connection:
        run_in(connection, "r_a", workload=ENDPOINT, model=model_of(), lineage=came)
        run_in(connection, "r_b", workload=ENDPOINT, model=model_of(2))
        assert [run.id for run in list_deployments_from(connection, data_of())] == ["r_a"]
        assert list_deployments_from(connection, data_of(2)) == []
