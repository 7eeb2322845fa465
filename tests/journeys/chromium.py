"""A real, headless Chromium for journeys: visit, click, read, look, and see what was refused.

    with running_chromium() as chromium:             # skips where no Chromium is installed
        page = chromium.open(cookies=[...])          # a context of its own, empty without these
        page.visit("http://mlflow.localhost:8470/")  # the status of the document
        page.wait_for_text("Experiments")
        page.screenshot(Path("seen.png"))
        assert (page.refused, page.errors) == ([], [])

Nothing but a browser is needed: it is driven over its own pipe, without a package that would have
to fit its version. It reaches this machine only; every other name is unknown to it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.journeys.chromium_page import Page
from tests.journeys.chromium_pipe import Json, Pipe

# Names one browser to take, before any other.
VARIABLE = "CHROME_BIN"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Where Playwright puts what it downloads, below its folder of browsers.
_PLAYWRIGHT = "chromium*-*/chrome-*linux*/*"
_PLAYWRIGHT_NAMES = ("chrome", "chrome-headless-shell", "headless_shell")
_END_S = 10.0
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    # Its sandbox refuses root and needs user namespaces; the pages are our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--no-first-run",
    # It talks to nobody but this machine, neither by itself nor for a page.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, "
    "EXCLUDE 127.0.0.1",
    # Newer ones stop a strange page's requests to this machine themselves. Older ones do not, so
    # that Plinth may not count on it.
    "--disable-features=LocalNetworkAccessChecks,Translate,MediaRouter,OptimizationHints",
)


def find_chromium() -> Path | None:
    """Return the browser to use: $CHROME_BIN, else one on the PATH, else Playwright's newest.

    Fails where $CHROME_BIN names no program: somebody asked for that one.
    """
    named = os.environ.get(VARIABLE)
    if named:
        found = shutil.which(named)
        assert found, f"{VARIABLE} is `{named}`, which is no program"
        return Path(found)
    on_path = next(filter(None, map(shutil.which, NAMES)), None)
    return Path(on_path) if on_path else _newest(_playwright_folder())


def _playwright_folder() -> Path:
    # The tests' HOME is another (tests/conftest.py).
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or caches / "ms-playwright")


def _newest(folder: Path) -> Path | None:
    """Return the newest Chromium in Playwright's folder, which numbers them."""
    found = {
        int(number): program
        for program in folder.glob(_PLAYWRIGHT)
        if program.name in _PLAYWRIGHT_NAMES and os.access(program, os.X_OK)
        if (number := program.parts[-3].rpartition("-")[2]).isdecimal()
    }
    return found[max(found)] if found else None


@contextmanager
def running_chromium() -> Iterator[Chromium]:
    """Start a browser for a block; skip where there is none. Leave neither process nor file."""
    program = find_chromium()
    if program is None:
        pytest.skip(
            f"no Chromium on this machine: {VARIABLE} is not set, none of {', '.join(NAMES)} is on "
            f"the PATH, none is in {_playwright_folder()}; `apt-get install chromium` brings one"
        )
    folder = Path(tempfile.mkdtemp(prefix="pl-chromium-"))
    process = _start(program, folder)
    try:
        yield Chromium(Pipe(process, folder / "log"))
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _start(program: Path, folder: Path) -> subprocess.Popen[bytes]:
    # Chromium reads its pipe from descriptor 3 and writes to 4.
    turn = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >&2'
    arguments = [str(program), *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            ["/bin/sh", "-c", turn, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.close()  # Its pipe's end is the browser's.
    with suppress(subprocess.TimeoutExpired):  # Then it is killed, with all that it started.
        process.wait(_END_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


class Chromium:
    """A running browser. Its pages share nothing: each is in a browser context of its own."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def open(self, cookies: Sequence[Json] = ()) -> Page:
        """Open a blank page in a new context that has `cookies`.

        Each: {"name": ..., "value": ..., "url": ...}, and what else `Storage.setCookies` takes.
        """
        context = str(self._pipe.call("Target.createBrowserContext")["browserContextId"])
        if cookies:
            self._pipe.call("Storage.setCookies", cookies=[*cookies], browserContextId=context)
        return Page(self._pipe, context)
