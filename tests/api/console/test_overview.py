"""What runs is shown, of all kinds, to those who may see it, and nothing of it is believed."""

from __future__ import annotations

import pytest

from plinth.domain.access import Role
from plinth.domain.run import WorkerTime
from tests.api.console.person import Person
from tests.api.service import OTHER, TEAM, Service
from tests.control.flows.stand import apply_flow, serves

SCRIPT = "<script>alert(1)</script>"


def test_a_job_and_an_endpoint_stand_in_one_table(service: Service, person: Person) -> None:
    run = service.plane.submit(name="train-flights")
    service.plane.apply(name="delay")
    page = person.page("/")
    assert f'href="/runs/{run}">train-flights</a>' in page
    assert 'href="/endpoints/delay">delay</a>' in page
    assert "<strong>1</strong> endpoint</span>" in page
    assert "<strong>1</strong> job</span>" in page


def test_what_has_ended_is_shown_when_asked_for(service: Service, person: Person) -> None:
    plane = service.plane
    plane.world.behave = lambda world, unit: world.end(unit)
    run = plane.submit(name="done")
    plane.until(lambda: plane.run(run).closed)
    assert f"/runs/{run}" not in person.page("/")
    assert "1 more is hidden by the choice above" in person.page("/")
    assert f"/runs/{run}" in person.page("/?show=all")


@pytest.mark.parametrize(
    ("query", "shown"),
    [("kind=job", True), ("kind=endpoint", False), ("name=RAI", True), ("name=x", False)],
)
def test_rows_are_chosen_by_kind_and_name(
    service: Service, person: Person, query: str, shown: bool
) -> None:
    run = service.plane.submit(name="train")
    assert (f"/runs/{run}" in person.page(f"/?{query}")) is shown


def test_another_teams_workloads_are_not_shown(service: Service) -> None:
    mine, strange = service.plane.submit(team=TEAM), service.plane.submit(team=OTHER)
    viewer = Person(service, service.caller(Role.VIEWER, TEAM))
    page = viewer.page("/")
    assert f"/runs/{mine}" in page
    assert f"/runs/{strange}" not in page
    assert viewer.ask(f"/runs/{strange}").status_code == 404
    assert viewer.ask(f"/runs/{strange}/logs").status_code == 404


def test_without_a_cookie_a_person_is_told_how_to_sign_in(service: Service) -> None:
    answer = service.client.get("/console/")
    assert answer.status_code == 401
    assert "<code>plinth open console</code>" in answer.text


def test_a_key_is_no_cookie(service: Service, person: Person) -> None:
    bearer = {"authorization": f"Bearer {service.admin}", "cookie": ""}
    assert person.ask("/", headers=bearer).status_code == 401


def test_words_of_others_are_shown_and_never_run(service: Service, person: Person) -> None:
    page = person.page(f"/?name={SCRIPT}")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    answer = person.ask("/")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_a_page_that_is_not_there_says_so_as_a_page(person: Person) -> None:
    answer = person.ask("/nothing/here")
    assert answer.status_code == 404
    assert "there is no such page" in answer.text


def test_a_flow_that_sleeps_says_that_it_costs_nothing(service: Service, person: Person) -> None:
    plane = service.plane
    run = str(apply_flow(plane, workers="0..4").deployment)
    plane.until(lambda: serves(plane, run))
    words = "asleep: 0 of 4 workers run, which costs nothing; a request wakes it"
    assert words in person.page("/")
    assert words in person.page("/endpoints/answers")
    host = plane.world.replicas[f"{run}.0.1"]
    host.workers = [WorkerTime(number=1, started_at=host.started_at)]
    plane.step(10)
    plane.step()
    assert "1 of 4 workers run" in person.page("/endpoints/answers")


def seeded(service: Service, run: str, number: int) -> None:
    """Add runs that ended after this one."""
    with service.plane.write() as connection:
        columns = [row[1] for row in connection.exec_driver_sql("pragma table_info(run)")]
        for index in range(number):
            changed = {
                "id": f"'r_s{index:06d}'",
                "name": f"'seed-{index}'",
                "phase": "'succeeded'",
                "created_at": "'2027-01-01 00:00:00.000000'",
            }
            values = ", ".join(changed.get(each, f'"{each}"') for each in columns)
            connection.exec_driver_sql(
                f"insert into run select {values} from run where id = '{run}'"
            )


def test_what_runs_is_shown_however_many_have_ended_since(service: Service, person: Person) -> None:
    run = service.plane.submit(name="old-but-running")
    seeded(service, run, 320)
    page = person.page("/")
    assert f'href="/runs/{run}">old-but-running</a>' in page
    assert "<strong>1</strong> job</span>" in page
    assert "320 more are not shown" in page
    ended = person.page("/?show=all")
    assert f'href="/runs/{run}"' in ended
    assert ended.count('href="/runs/r_s') == 200
    assert "120 more are older" in ended
    assert 'href="/runs/r_s000319"' in person.page("/?show=all&name=seed-319")


def test_an_endpoint_that_failed_says_so_and_stays_in_sight(
    service: Service, person: Person
) -> None:
    service.plane.apply(name="delay")
    with service.plane.write() as connection:
        connection.exec_driver_sql("update endpoint set reason = 'DeploymentFailed'")
    for path in ("/", "/endpoints/delay"):
        assert '<span class="badge failed">failed</span>' in person.page(path)


def test_a_name_that_no_database_takes_is_refused(person: Person) -> None:
    for name in ("kind", "team", "name"):
        answer = person.ask(f"/?{name}=%00")
        assert answer.status_code == 422
        assert "the address holds a value that no page knows" in answer.text


def test_who_was_granted_one_workload_sees_it_and_no_other(service: Service) -> None:
    for name in ("mine", "other"):
        service.plane.submit(name=name)
    granted = service.principal()
    grant = {"role": "viewer", "principal": granted.id, "team": TEAM, "resource": "job/mine"}
    service.as_admin("POST", "/grants", json=grant)
    page = Person(service, service.key_of(granted)).page("/")
    assert ">mine</a>" in page
    assert ">other</a>" not in page
    assert "<strong>1</strong> job</span>" in page
