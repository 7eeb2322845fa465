"""What the journeys' browser tells of a page is true. Skipped where there is no Chromium.

A journey because it starts a browser, and a server for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.journeys import chromium as module
from tests.journeys.chromium import Chromium, find_chromium, running_chromium
from tests.journeys.chromium_pipe import CannotDo

PAGE = """<!doctype html><title>Here</title><h1>It is
  HERE</h1><p style="display: none">unseen</p>
<button onclick="document.title = 'clicked'; this.remove()">Press</button>
<form method="post" action="/refused"></form>"""
TROUBLE = """<!doctype html><p>trouble</p><script>
fetch('/missing'); fetch('http://elsewhere.example/').catch(() => null);
new Worker(URL.createObjectURL(new Blob([`fetch('${location.origin}/from-a-worker')`])));
setTimeout(() => { throw new Error('thrown') });
</script>"""


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        cookie = self.headers["cookie"] or "no cookie"
        pages = {"/": PAGE, "/trouble": TROUBLE, "/strict": PAGE, "/cookie": cookie}
        self._answer(200 if self.path in pages else 404, pages.get(self.path, "no such page"))

    def do_POST(self) -> None:
        self._answer(403, "no")

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("content-type", "text/html; charset=utf-8")
        if self.path == "/strict":
            self.send_header("content-security-policy", "default-src 'none'")
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://here.localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as chromium:
        yield chromium


def test_a_page_is_read_clicked_and_looked_at(
    chromium: Chromium, origin: str, tmp_path: Path
) -> None:
    page = chromium.open()
    assert page.visit(f"{origin}/") == 200
    page.wait_for_text("it is here")
    assert "unseen" not in page.text()
    page.click("button")
    assert page.run("() => document.title") == "clicked"
    assert page.run("async (a, b) => ({sum: a + b})", 1, 2) == {"sum": 3}
    assert page.visit(f"{origin}/#further") == 0
    assert page.screenshot(tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(CannotDo, match="nothing_of_that_name"):
        page.run("() => nothing_of_that_name")


def test_a_form_s_answer_is_followed(chromium: Chromium, origin: str) -> None:
    page = chromium.open()
    page.visit(f"{origin}/")
    assert page.follow(lambda: page.run("() => document.forms[0].submit()")) == 403
    assert page.refused[-1] == f"403 POST {origin}/refused"


def test_what_a_page_and_its_worker_ask_for_and_do_not_get_is_told(
    chromium: Chromium, origin: str
) -> None:
    page = chromium.open()
    page.visit(f"{origin}/trouble")
    expected = {
        f"404 GET {origin}/missing",
        f"404 GET {origin}/from-a-worker",
        "net::ERR_NAME_NOT_RESOLVED GET http://elsewhere.example/",
    }
    page.wait_until(lambda: expected <= {*page.refused} and page.errors, "all the trouble")
    assert {*page.refused} - expected <= {f"404 GET {origin}/favicon.ico"}
    assert any("thrown" in each for each in page.errors)
    assert "http://elsewhere.example/" in page.asked


def test_what_a_page_s_policy_forbids_is_told(chromium: Chromium, origin: str) -> None:
    page = chromium.open()
    page.visit(f"{origin}/strict")
    assert any("Content Security Policy" in each for each in page.errors), page.errors


def test_pages_share_no_cookie(chromium: Chromium, origin: str) -> None:
    signed_in = chromium.open([{"name": "who", "value": "ann", "url": origin}])
    stranger = chromium.open()
    signed_in.visit(f"{origin}/cookie")
    stranger.visit(f"{origin}/cookie")
    assert (signed_in.text(), stranger.text()) == ("who=ann", "no cookie")
    assert [each["value"] for each in signed_in.cookies()] == ["ann"]
    assert stranger.cookies() == []


def test_a_pretended_page_is_answered_by_nobody(chromium: Chromium) -> None:
    page = chromium.open()
    page.pretend("http://evil.example/*", "<p>pretended</p>")
    assert page.visit("http://evil.example/any") == 200
    assert page.text() == "pretended"


def test_the_browser_that_is_named_is_taken_then_the_path_s_then_playwright_s_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(module.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert find_chromium() is None
    for path in (
        "chromium-999/chrome-linux/chrome",
        "chromium_headless_shell-1200/chrome-headless-shell-linux64/chrome-headless-shell",
        "bin/google-chrome",
        "mine",
    ):
        program = tmp_path / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(mode=0o755)
        if path == "mine":
            monkeypatch.setenv(module.VARIABLE, str(program))
        assert find_chromium() == program
    monkeypatch.setenv(module.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(AssertionError, match="which is no program"):
        find_chromium()


def test_without_a_browser_the_reason_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (module.VARIABLE, "PATH", "PLAYWRIGHT_BROWSERS_PATH"):
        monkeypatch.setenv(name, str(tmp_path) if name != module.VARIABLE else "")
    with pytest.raises(pytest.skip.Exception, match=f"no Chromium .* {tmp_path}"):
        running_chromium().__enter__()


def test_a_browser_that_does_not_start_is_told_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho no display today >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv(module.VARIABLE, str(program))
    with (
        running_chromium() as chromium,
        pytest.raises(AssertionError, match="has ended: no display today"),
    ):
        chromium.open()
