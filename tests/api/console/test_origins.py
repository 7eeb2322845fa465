"""The tree of a run's page: its data, its code, its model and the job behind it, what it made."""

from __future__ import annotations

from plinth.control.batches.publication import add_output, publish
from plinth.control.runs.service import remove_run
from plinth.domain.access import Role
from plinth.domain.batch import BatchInference
from plinth.domain.model import CodeOrigin
from plinth.kit.errors import Temporary
from plinth.store.runs import StoredRun, find_run
from tests.api.console.person import Person
from tests.api.service import TEAM, Service
from tests.control.batches.batch_case import add_files, batch_of, submit, write_output

CODE = CodeOrigin(commit="a" * 40, branch="main")


def train(service: Service) -> str:
    """Run a job that reads data and registers a model; return its run."""
    plane = service.plane
    service.add_data("flights")
    run = plane.submit(name="train", origin=CODE, data={"in": "flights@1"})
    plane.until(lambda: bool(plane.world.starts))
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    tracked = str(plane.run(run).tracking_run)
    plane.tracking.log(TEAM, tracked, tags=plane.tracking.tags[run])
    plane.tracking.add_model(TEAM, "scale", ("champion",), tracked)
    return run


def score(service: Service) -> StoredRun:
    """Run a batch of that model over rows, and publish what it wrote."""
    plane = service.plane
    add_files(plane, a="x\n1\n")
    run = submit(plane)
    write_output(plane, run, 3)
    publish_output(service, run)
    return run


def publish_output(service: Service, run: StoredRun) -> None:
    context = service.plane.context
    assert isinstance(run.workload, BatchInference)
    published = publish(context, run, run.workload)
    assert published is not None
    with service.plane.write() as connection:
        add_output(connection, context, run, published)


def test_a_job_shows_what_it_read_its_code_and_the_models_it_made(
    service: Service, person: Person
) -> None:
    page = person.page(f"/runs/{train(service)}")
    assert "<h2>Where it comes from, and what it made</h2>" in page
    assert "data <strong>flights@1</strong>" in page
    assert f"code <strong>{'a' * 12}</strong>" in page
    assert "made model <strong>scale/1</strong>" in page


def test_a_batch_shows_its_model_with_the_job_behind_it_and_its_output(
    service: Service, person: Person
) -> None:
    job = train(service)
    page = person.page(f"/runs/{score(service).id}")
    assert "model <strong>scale/1</strong>" in page
    assert f'logged by job <a href="/runs/{job}">{job}</a>' in page
    assert "data <strong>flights@1</strong>" in page
    assert "data <strong>rows@1</strong>" in page
    assert "made data <strong>nightly@1</strong>" in page


def test_data_that_a_batch_made_leads_to_the_batch(service: Service, person: Person) -> None:
    train(service)
    batch = score(service)
    after = submit(service.plane, batch_of(name="again", data="nightly@1"))
    page = person.page(f"/runs/{after.id}")
    assert f'the output of batch <a href="/runs/{batch.id}">{batch.id}</a>' in page


def test_a_job_that_was_deleted_is_named_without_a_link(service: Service, person: Person) -> None:
    job = train(service)
    batch = score(service)
    service.plane.parts.metering.collect()
    with service.plane.write() as connection:
        remove_run(connection, service.plane.context, find_run(connection, job))
    page = person.page(f"/runs/{batch.id}")
    assert f"logged by job <strong>{job}</strong>" in page
    assert f'href="/runs/{job}"' not in page


def test_the_tree_stands_while_mlflow_is_away(service: Service, person: Person) -> None:
    run = train(service)
    service.plane.tracking.error = Temporary("MLflow is away")
    page = person.page(f"/runs/{run}")
    assert "data <strong>flights@1</strong>" in page
    assert "MLflow does not say now which models it made" in page


def test_who_may_see_one_batch_only_gets_no_link_to_the_job(service: Service) -> None:
    job = train(service)
    batch = score(service)
    granted = service.principal()
    grant = {"role": "viewer", "principal": granted.id, "team": TEAM, "resource": "batch/nightly"}
    service.as_admin("POST", "/grants", json=grant)
    page = Person(service, service.key_of(granted)).page(f"/runs/{batch.id}")
    assert "model <strong>scale/1</strong>" in page
    assert f'href="/runs/{job}"' not in page


def test_a_deployment_leads_to_the_job_that_made_its_model(
    service: Service, person: Person
) -> None:
    job = train(service)
    service.plane.apply(name="delay", model="models:/scale@champion")
    page = person.page("/endpoints/delay")
    assert f'logged by job <a href="/runs/{job}">{job}</a>' in page
    assert "asked for as models:/scale@champion" in page


def test_a_run_without_any_origin_has_no_tree(service: Service, person: Person) -> None:
    run = service.plane.submit(name="bare")
    assert "Where it comes from" not in person.page(f"/runs/{run}")


def test_a_viewer_of_the_team_sees_the_models_too(service: Service) -> None:
    run = train(service)
    viewer = Person(service, service.caller(Role.VIEWER, TEAM))
    assert "made model <strong>scale/1</strong>" in viewer.page(f"/runs/{run}")
