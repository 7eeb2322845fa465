"""The console in a real browser, over a whole Plinth; skipped where there is no Chromium.

A journey because only a browser shows what a page runs, what it refuses, and what it sends along.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.domain.web_page import CONSOLE, page_origin, workspace_page
from tests.journeys.chromium import Chromium, running_chromium
from tests.journeys.chromium_page import Page
from tests.journeys.one_node import with_teams
from tests.journeys.plinth_node import Plinth, wait_for

# What a hostile job prints; a page that took it for HTML would run it.
HOSTILE = '<img src=x onerror="window.pwned = 1"><script>window.pwned = 1</script>'
PRINTS = f"import time\nprint('hello console')\nprint({HOSTILE!r}, flush=True)\ntime.sleep(300)\n"


@pytest.fixture(scope="module")
def plinth(one_node: Plinth) -> Plinth:
    return with_teams(one_node, "red")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as chromium:
        yield chromium


def sign_in(plinth: Plinth, page: Page, key: str | None = None) -> None:
    client = plinth.client if key is None else plinth.client_of(key)
    assert page.visit(str(client.sign_in(CONSOLE)["url"])) == 200


@pytest.fixture
def page(chromium: Chromium, plinth: Plinth) -> Page:
    page = chromium.open()
    sign_in(plinth, page)
    return page


@pytest.fixture(scope="module")
def hostile(plinth: Plinth) -> str:
    """Return a job that runs, and prints what would harm a careless page."""
    run = plinth.submit("hostile", "python3", "-c", PRINTS)
    plinth.wait_for_line(run, "hello console")
    return run


def desired(plinth: Plinth, run: str) -> str:
    return str(plinth.client.run(run)["desired"])


def test_a_person_finds_a_job_reads_its_output_and_stops_it(
    plinth: Plinth, page: Page, tmp_path: Path
) -> None:
    run = plinth.submit("sleeper", "python3", "-c", "print('z' * 9, flush=True); input()")
    plinth.submit("waits", "sleep", "300")
    page.visit(page_origin(CONSOLE, plinth.port) + "/")
    page.wait_for_text("sleeper")
    page.screenshot(tmp_path / "overview.png")
    sleeper = plinth.submit("second", "sleep", "300")
    page.wait_for_text("second")  # By itself: nobody loaded the page again.
    page.follow(lambda: page.click(f'a[href="/runs/{sleeper}"]'))
    page.wait_for_text("Where it runs, and why")
    page.click("details.confirm summary")
    page.wait_for_text("What it has not written is lost")
    assert page.follow(lambda: page.click("details.confirm button")) == 200
    wait_for(lambda: plinth.client.run(sleeper)["phase"] == "stopped", "the stop")
    page.wait_for_text("was stopped")
    assert run
    assert (page.refused, page.errors) == ([], [])


def test_what_a_job_prints_is_shown_as_text(plinth: Plinth, page: Page, hostile: str) -> None:
    page.visit(f"{page_origin(CONSOLE, plinth.port)}/runs/{hostile}")
    page.wait_for_text("hello console")
    page.wait_for_text("<script>window.pwned = 1</script>")
    assert page.run("() => window.pwned === undefined")
    assert page.run("() => document.querySelector('.log').children.length") == 0
    assert (page.refused, page.errors) == ([], [])


def test_the_pages_are_reached_by_the_keyboard_and_fit_a_phone(plinth: Plinth, page: Page) -> None:
    for path in ("/", "/costs", "/node"):
        page.visit(page_origin(CONSOLE, plinth.port) + path)
        unreachable = (
            "() => [...document.querySelectorAll('a, button, input, select, summary')]"
            ".filter((each) => each.tabIndex < 0).length"
        )
        assert page.run(unreachable) == 0
        page.resize(390, 844)
        # Nothing stands out to the side.
        assert page.run("() => document.documentElement.scrollWidth <= 390"), path
        page.resize(1280, 900)


def test_a_question_is_taken_back_by_the_keyboard(plinth: Plinth, page: Page, hostile: str) -> None:
    page.visit(f"{page_origin(CONSOLE, plinth.port)}/runs/{hostile}")
    page.click("details.confirm summary")
    is_open = "() => document.querySelector('.confirm').open"
    assert page.run(is_open)
    press = "() => document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))"
    page.run(press)
    assert not page.run(is_open)
    assert page.run("() => document.activeElement.tagName") == "SUMMARY"


def test_another_origin_can_neither_press_a_button_nor_read_a_page(
    plinth: Plinth, page: Page, hostile: str
) -> None:
    """A workspace's page is somebody else's, and the browser has a cookie for the console."""
    target = f"{page_origin(CONSOLE, plinth.port)}/runs/{hostile}"
    form = f'<form method="post" action="{target}/stop"><button>win a prize</button></form>'
    evil = page_origin(workspace_page("evil"), plinth.port)
    page.pretend(f"{evil}/*", f"<!doctype html>{form}")
    page.visit(f"{evil}/")
    page.follow(lambda: page.click("button"))
    assert "stopping" not in page.text()
    assert desired(plinth, hostile) == "run"
    page.visit(f"{evil}/")
    read = "(url) => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'refused')"
    assert page.run(read, target) == "refused"


def test_another_teams_workload_is_not_there(
    chromium: Chromium, plinth: Plinth, hostile: str
) -> None:
    page = chromium.open()
    sign_in(plinth, page, plinth.key("red", role="operator"))
    assert page.visit(f"{page_origin(CONSOLE, plinth.port)}/runs/{hostile}") == 404
    page.wait_for_text("there is no run")
    page.visit(page_origin(CONSOLE, plinth.port) + "/?show=all")
    assert "hostile" not in page.text()


def test_the_plain_address_leads_a_browser_to_the_console(plinth: Plinth, page: Page) -> None:
    assert page.visit(f"{plinth.address}/") == 200
    assert page.run("() => location.origin") == page_origin(CONSOLE, plinth.port)


def output_of(page: Page) -> str:
    return str(page.run("() => document.querySelector('#output').textContent"))


def test_a_reader_keeps_place_and_focus_while_the_page_keeps_itself_fresh(
    plinth: Plinth, page: Page
) -> None:
    lines = "import time; print(*range(3000), sep='\\n', flush=True); time.sleep(300)"
    run = plinth.submit("reads", "python3", "-c", lines)
    plinth.wait_for_line(run, "2999")
    page.visit(f"{page_origin(CONSOLE, plinth.port)}/runs/{run}")
    page.wait_until(lambda: output_of(page).endswith("2999\n"), "the output")
    at_end = (
        "() => { const log = document.querySelector('#output'); return log.scrollTop > 0"
        " && log.scrollHeight - log.scrollTop - log.clientHeight < 30; }"
    )
    assert page.run(at_end)
    # A new page marks nothing, so a mark that is gone says that all around the output was renewed.
    mark = "() => { document.querySelector('h1').dataset.mark = 'old'; }"
    renewed = "() => document.querySelector('h1').dataset.mark !== 'old'"
    page.run(mark)
    page.wait_until(lambda: page.run(renewed), "the page's refreshing")
    assert page.run(at_end)
    page.run("() => { const o = document.querySelector('#output'); o.focus(); o.scrollTop = 500; }")
    page.run(mark)
    page.wait_until(lambda: page.run(renewed), "the page's refreshing")
    assert page.run("() => document.querySelector('#output').scrollTop") == 500
    assert page.run("() => document.activeElement.id") == "output"
    page.run("() => document.querySelector('.place summary').focus()")
    page.run(mark)
    page.wait_until(lambda: page.run(renewed), "the page's refreshing")
    assert page.run("() => document.activeElement.tagName") == "SUMMARY"
    plinth.client.stop_run(run)


def test_the_output_of_the_next_attempt_follows(plinth: Plinth, page: Page) -> None:
    script = (
        "import os, sys, time\n"
        "if os.path.exists('once'): print('the second'); time.sleep(300)\n"
        "open('once', 'w').close()\n"
        "print('the first ' * 50, flush=True); time.sleep(6); sys.exit(1)\n"
    ).replace("print('the second')", "print('the second', flush=True)")
    run = plinth.submit("again", "python3", "-c", script, attempts=2)
    plinth.wait_for_line(run, "the first")
    page.visit(f"{page_origin(CONSOLE, plinth.port)}/runs/{run}")
    page.wait_until(lambda: "the first" in output_of(page), "the first attempt's output")
    page.wait_until(lambda: "the second" in output_of(page), "the second attempt's output")
    assert "--- attempt 2 ---" in output_of(page)
    plinth.client.stop_run(run)


def test_of_a_long_output_the_end_is_shown_and_what_is_before_when_asked_for(
    plinth: Plinth, page: Page
) -> None:
    lines = (
        "[print(f'{n:07} zw\u00f6lf ' + 'x' * 80) for n in range(300_000)]; print('the very end')"
    )
    run = plinth.submit("long", "python3", "-c", lines)
    assert plinth.ended(run)["phase"] == "succeeded"
    page.visit(f"{page_origin(CONSOLE, plinth.port)}/runs/{run}")
    page.wait_until(lambda: output_of(page).endswith("the very end\n"), "the end")
    shown = output_of(page)
    assert "\ufffd" not in shown
    assert 1000 < shown.count("\n") <= 4200
    first = int(shown[:7])
    page.click("[data-earlier]")
    page.wait_until(lambda: int(output_of(page)[:7]) < first, "what is before")
    numbers = [int(line[:7]) for line in output_of(page).splitlines() if line[:7].isdigit()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert (page.refused, page.errors) == ([], [])
