"""A workload's page: its plan, its output, its traffic, and the actions that the person may do."""

from __future__ import annotations

from plinth.domain.access import Role
from plinth.kit.errors import Temporary
from tests.api.console.person import Person
from tests.api.service import TEAM, Service


def test_a_run_is_shown_with_its_plan_its_attempts_and_its_history(
    service: Service, person: Person
) -> None:
    run = service.plane.submit(name="train")
    service.plane.until(lambda: service.plane.run(run).phase == "running")
    page = person.page(f"/runs/{run}")
    assert ">chosen</span>" in page
    assert "<strong>local</strong>" in page
    assert f'data-log="/runs/{run}/logs" data-live' in page
    assert "Accepted" in page
    assert f'action="/runs/{run}/stop"' in page


def test_what_a_run_logged_is_drawn(service: Service, person: Person) -> None:
    plane = service.plane
    run = plane.submit(name="train")
    plane.until(lambda: plane.run(run).tracking_run is not None)
    tracked = str(plane.run(run).tracking_run)
    plane.tracking.log(TEAM, tracked, metrics={"loss": 0.25})
    plane.tracking.histories[tracked, "loss"] = [(0, 1.0), (1, 0.25)]
    page = person.page(f"/runs/{run}")
    assert "<strong>loss</strong> 0.25" in page
    assert '<polyline points="0.0,0.0 600.0,120.0"/>' in page


def test_a_run_is_shown_while_mlflow_is_away(service: Service, person: Person) -> None:
    plane = service.plane
    run = plane.submit(name="train")
    plane.until(lambda: plane.run(run).tracking_run is not None)
    plane.tracking.error = Temporary("MLflow is away")
    assert "MLflow does not answer now" in person.page(f"/runs/{run}")


def test_a_run_is_stopped_by_its_button(service: Service, person: Person) -> None:
    run = service.plane.submit(name="train")
    answer = person.ask(f"/runs/{run}/stop", "POST")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run}")
    assert service.plane.run(run).desired == "stop"


def test_a_strange_page_cannot_press_the_button(service: Service, person: Person) -> None:
    run = service.plane.submit(name="train")
    for site in ("cross-site", "same-site", "none", ""):
        answer = person.ask(f"/runs/{run}/stop", "POST", headers={"sec-fetch-site": site})
        assert answer.status_code == 403
    assert service.plane.run(run).desired == "run"


def test_a_viewer_gets_no_button_and_cannot_do_without(service: Service) -> None:
    run = service.plane.submit(name="train")
    viewer = Person(service, service.caller(Role.VIEWER, TEAM))
    assert '<form method="post"' not in viewer.page(f"/runs/{run}")
    assert viewer.ask(f"/runs/{run}/stop", "POST").status_code == 403
    assert service.plane.run(run).desired == "run"


def test_an_endpoint_is_shown_with_its_deployments_and_lineage(
    service: Service, person: Person
) -> None:
    service.plane.apply(name="delay")
    page = person.page("/endpoints/delay")
    assert "<h2>Deployments</h2>" in page
    assert "model <strong>m/1</strong>" in page
    assert "<h2>Where main runs, and why</h2>" in page
    assert "<strong>0</strong> requests" in page


def test_an_endpoint_is_stopped_by_its_button(service: Service, person: Person) -> None:
    service.plane.apply(name="delay")
    assert person.ask("/endpoints/delay/stop", "POST").status_code == 303
    found = service.plane.endpoint()
    assert found is not None
    assert found.desired == "stop"


def test_the_output_of_a_run_is_text(service: Service, person: Person) -> None:
    run = service.plane.submit(name="train")
    answer = person.ask(f"/runs/{run}/logs")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-plinth-phase"] == "pending"
