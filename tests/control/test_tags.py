"""What is said of a job in MLflow is read back as it was, and what is odd there is not."""

from __future__ import annotations

from plinth.control import tags
from plinth.domain.model import CodeOrigin
from tests.control.plane import Plane
from tests.store.rows import run_in
from tests.store.test_lineage import data_of

CODE = CodeOrigin(commit="a" * 40, branch="main", remote="https://host/x", diff_digest="d" * 64)


def test_all_that_is_said_is_read_back(plane: Plane) -> None:
    with plane.write() as connection:
        run = run_in(connection, "r_a", data={"in": data_of()}, code=CODE)
    run = run.model_copy(update={"code_digest": "c" * 64})
    said = tags.tags_of(run)
    assert tags.run_in(said) == "r_a"
    assert tags.principal_in(said) == "admin"
    assert tags.code_digest_in(said) == "c" * 64
    assert tags.code_in(said) == CODE
    assert tags.data_in(said) == {"in": ("flights", 1, "1" * 64)}


def test_a_job_without_origin_says_no_more_than_it_is(plane: Plane) -> None:
    said = tags.tags_of(plane.run(plane.submit()))
    assert not any(name.startswith("mlflow.") for name in said)
    assert tags.code_in(said) is None
    assert tags.code_digest_in(said) is None


def test_what_others_wrote_there_is_none() -> None:
    odd = {
        "plinth.run": "../../etc",
        "plinth.by": "somebody else entirely",
        "plinth.code": "0",
        "plinth.data.x": "flights@one abc",
        "mlflow.source.git.commit": "HEAD",
    }
    assert tags.run_in(odd) is None
    assert tags.principal_in(odd) is None
    assert tags.code_digest_in(odd) is None
    assert tags.code_in(odd) is None
    assert tags.data_in(odd) == {}
    assert tags.run_in({}) is None


def test_a_commit_that_mlflow_itself_noted_counts() -> None:
    found = tags.code_in({"mlflow.source.git.commit": "b" * 40})
    assert found == CodeOrigin(commit="b" * 40)
