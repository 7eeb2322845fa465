"""A workload's page: its plan, its output, its traffic, and the actions that the person may do."""

from __future__ import annotations

import json
import sys

from plinth.control.batches.preparation import work_folder
from plinth.domain.access import Role
from plinth.kit.errors import Temporary
from tests.api.console.person import Person
from tests.api.service import TEAM, Service
from tests.control.batches.batch_case import add_files
from tests.control.flows.stand import PLAIN, upload

FLOW = {"kind": "flow", "name": "answers", "team": TEAM, "app": "main:app"}
BATCH = {
    "kind": "batch",
    "name": "nightly",
    "team": TEAM,
    "model": "models:/scale@champion",
    "data": "rows",
}


def apply_flow(service: Service) -> None:
    body = {"workload": FLOW, "code_digest": upload(service.plane, PLAIN)}
    answer = service.call(service.admin, "PUT", "/flows/answers", json=body)
    assert answer.is_success, answer.text


def test_a_run_is_shown_with_its_plan_its_attempts_and_its_history(
    service: Service, person: Person
) -> None:
    run = service.plane.submit(name="train")
    service.plane.until(lambda: service.plane.run(run).phase == "running")
    page = person.page(f"/runs/{run}")
    assert ">chosen</span>" in page
    assert "<strong>local</strong>" in page
    assert f'data-log="/runs/{run}/logs" data-live' in page
    assert "<strong>accepted</strong>" in page
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


def test_a_team_that_was_granted_a_flow_sees_its_page(service: Service) -> None:
    apply_flow(service)
    for role, may_stop in (("viewer", False), ("contributor", True)):
        granted = service.principal()
        grant = {
            "role": role,
            "principal": granted.id,
            "team": TEAM,
            "resource": "endpoint/answers",
        }
        service.as_admin("POST", "/grants", json=grant)
        person = Person(service, service.key_of(granted))
        page = person.page("/endpoints/answers")
        assert ('action="/endpoints/answers/stop"' in page) is may_stop
        assert "Counted are the requests of teams whose usage you may see" in page
        run = next(each for each in service.as_admin("GET", "/runs") if each["kind"] == "flow")
        shown = person.page(f"/runs/{run['id']}")
        # Who may only call a flow need not see what it prints of others' questions.
        assert "data-log" not in shown
        assert person.ask(f"/runs/{run['id']}/logs").status_code == 404


def test_a_part_of_something_is_stopped_on_the_page_of_the_whole(
    service: Service, person: Person
) -> None:
    apply_flow(service)
    body = {"kind": "workspace", "name": "eda", "team": TEAM}
    service.as_admin("PUT", "/workspaces/eda", json=body)
    for run in service.as_admin("GET", "/runs"):
        page = person.page(f"/runs/{run['id']}")
        assert f'action="/runs/{run["id"]}/stop"' not in page
        place = "/workspaces/eda" if run["kind"] == "workspace" else "/endpoints/answers"
        assert f'<a href="{place}">' in page


def test_a_batch_says_how_far_it_is(service: Service, person: Person) -> None:
    service.plane.tracking.add_model(TEAM, "scale", ("champion",))
    add_files(service.plane, a="x\n1\n")
    run = service.as_admin("POST", "/batches", json=BATCH)["id"]
    work = work_folder(service.plane.context, run)
    work.mkdir(parents=True)
    told = {"step": "answering rows", "rows": 10, "rows_done": 4, "rows_per_second": 2.0}
    (work / "progress.json").write_text(json.dumps(told))
    page = person.page(f"/runs/{run}")
    assert "4 of 10 rows, 2 a second" in page
    assert "40 percent of the rows are done" in page
    assert f'action="/runs/{run}/stop"' in page


def test_what_a_batch_writes_of_itself_cannot_break_its_page(
    service: Service, person: Person
) -> None:
    service.plane.tracking.add_model(TEAM, "scale", ("champion",))
    add_files(service.plane, a="x\n1\n")
    run = service.as_admin("POST", "/batches", json=BATCH)["id"]
    work = work_folder(service.plane.context, run)
    work.mkdir(parents=True)
    huge = 10**400
    told = {"step": "answering rows", "rows": 10, "rows_done": 4, "left_s": huge, "workers": huge}
    (work / "progress.json").write_text(json.dumps(told))
    form = {"form": "\ud800 x", "why": ["<b>"] * 10_000, "compared": {"tolerance": huge}}
    (work / "manifest.json").write_text(json.dumps({"form": form}))
    page = person.page(f"/runs/{run}")
    assert "4 of 10 rows" in page
    assert len(page) < 20_000
    for rows, done, share in ((huge, huge, None), (5, 2**53, 100), (2**53, 1, 0)):
        (work / "progress.json").write_text(json.dumps({**told, "rows": rows, "rows_done": done}))
        page = person.page(f"/runs/{run}")
        assert ("percent of the rows" in page) is (share is not None)
        assert share is None or f"{share} percent of the rows are done" in page


def test_metrics_that_are_left_out_are_counted_and_a_part_is_told(
    service: Service, person: Person
) -> None:
    plane = service.plane
    run = plane.submit(name="train")
    plane.until(lambda: plane.run(run).tracking_run is not None)
    tracked = str(plane.run(run).tracking_run)
    metrics = {f"m{number:02d}": 0.5 for number in range(18)} | {"a": sys.float_info.max}
    plane.tracking.log(TEAM, tracked, metrics=metrics)
    plane.tracking.histories[tracked, "m00"] = [(0, 1.0), (1, 0.25)]
    page = person.page(f"/runs/{run}")
    assert "7 more metrics are in MLflow" in page
    assert "drawn are 2 of its values, not the last one" in page
    assert "<strong>a</strong> infinite" in page


def test_the_link_to_mlflow_leads_to_the_run(service: Service, person: Person) -> None:
    run = service.plane.submit(name="train")
    assert person.ask(f"/runs/{run}/mlflow").status_code == 404
    service.plane.until(lambda: service.plane.run(run).tracking_run is not None)
    answer = person.ask(f"/runs/{run}/mlflow")
    tracked = service.plane.run(run).tracking_run
    assert answer.status_code == 303
    assert answer.headers["location"].endswith(f"/#/experiments/e-train/runs/{tracked}")


def test_what_ended_without_a_word_says_so(service: Service, person: Person) -> None:
    plane = service.plane
    plane.world.behave = lambda world, unit: world.end(unit)
    run = plane.submit(name="train")
    plane.until(lambda: plane.run(run).closed)
    page = person.page(f"/runs/{run}")
    assert 'data-empty="It printed nothing."' in page
    assert f'href="/runs/{run}/output?attempt=1&amp;replica=0"' in page


def test_the_next_step_of_an_error_is_a_sentence_with_names_as_code(person: Person) -> None:
    assert "<p><code>plinth list</code> shows the runs</p>" in person.ask("/runs/r_none").text
