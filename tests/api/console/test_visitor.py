"""Every page knows who looks at it, and where MLflow's pages are."""

from __future__ import annotations

from tests.api.console.person import Person
from tests.api.service import Service


def test_the_frame_names_the_person_and_leads_to_every_page(person: Person) -> None:
    page = person.page("/")
    for link in ('href="/costs"', 'href="/node"', 'href="/sign-out"', 'href="#main"'):
        assert link in page
    assert '<a href="/" aria-current="page">Workloads</a>' in page


def test_a_key_that_was_revoked_shows_nothing_more(service: Service, person: Person) -> None:
    with service.plane.write() as connection:
        connection.exec_driver_sql("update key set revoked_at = '2026-01-01 00:00:00'")
    assert person.ask("/").status_code == 401


def test_what_pages_load_is_there(person: Person) -> None:
    for name in ("console.css", "console.js", "plinth.svg"):
        assert person.ask(f"/static/{name}").status_code == 200
