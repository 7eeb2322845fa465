"""Call the `uv` binary, and say in our errors what it said."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plinth.kit.errors import Invalid, Permanent, PlinthError, Temporary

Report = Callable[[str], None]

_CHILD = Path(__file__).with_name("child.py")
_TAIL_LINES = 25
_KEPT = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "NETRC"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    | {name for base in ("HTTP", "HTTPS", "ALL", "NO") for name in (f"{base}_PROXY",)}
    | {name for base in ("http", "https", "all", "no") for name in (f"{base}_proxy",)}
)
# These would point uv at another environment than the one that is built, or publish something.
_DROPPED = re.compile(
    r"UV_(PUBLISH_\w+|PYTHON|SYSTEM_PYTHON|PROJECT\w*|TARGET|PREFIX|WORKING_DIR\w*|ENV_FILE)"
)
_FROM_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
}
_NETWORK = re.compile(
    r"error sending request|dns error|timed out|timeout|connection (refused|reset|closed)"
    r"|network was disabled|HTTP status server error|Failed to fetch|Failed to download",
    re.IGNORECASE,
)
_NO_ACCESS = re.compile(r"HTTP status client error \(40[13]|401 Unauthorized|403 Forbidden")
_NO_SOLUTION = re.compile(r"No solution found|unsatisfiable|no usable wheels|has no wheels")
_NO_PYTHON = re.compile(r"No interpreter found|No download found|no Python download")
_NO_SPACE = re.compile(r"No space left on device|os error 28")


def child_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what uv may see of our environment: paths, proxies, certificates, its own settings.

    pip's index and certificate settings are handed on where uv has none of its own. Nothing else
    passes, so no key of ours reaches what a package might run.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if name in _KEPT or (name.startswith("UV_") and not _DROPPED.fullmatch(name))
    }
    for theirs, ours in _FROM_PIP.items():
        if variables.get(theirs) and ours not in kept:
            kept[ours] = variables[theirs]
    return {**kept, "NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


@dataclass(frozen=True)
class Uv:
    """The uv binary, and the folder it runs in."""

    binary: Path
    folder: Path

    def run(self, arguments: Sequence[str], *, text: str = "") -> None:
        """Run uv to its end with `text` on its standard input.

        It dies with this process and with the thread that calls. Raises Invalid, Temporary or
        Permanent with the end of what uv said.
        """
        self._run([str(self.binary), *arguments], text)

    def compile(self, python: Path, packages: Path) -> None:
        """Write the bytecode of all `packages` but their tests, which nobody imports.

        `python` must be no file that a package could have put in its place. Raises as `run`
        does; a file that is no valid Python is left as it is.
        """
        # compileall ends with 1 when one of a thousand files is no Python of this version.
        quiet = "import compileall, re, sys; compileall.compile_dir(sys.argv[1], quiet=2, "
        quiet += "workers=0, rx=re.compile(r'[\\\\/]tests?[\\\\/]'))"
        # Without -S it would run the lines of every `.pth` file that a stranger's package brings.
        self._run([str(python), "-I", "-S", "-c", quiet, str(packages)], "")

    def _run(self, arguments: Sequence[str], text: str) -> None:
        command = [sys.executable, "-I", "-S", str(_CHILD), str(os.getpid())]
        with subprocess.Popen(
            [*command, *arguments],
            cwd=self.folder,
            env=child_variables(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            tail: deque[str] = deque(maxlen=_TAIL_LINES)
            try:
                _feed(process, text)
                tail.extend(line.rstrip() for line in process.stderr or ())
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            raise explain(redact("\n".join(tail)), process.returncode)


def _feed(process: subprocess.Popen[str], text: str) -> None:
    if process.stdin is None:
        return
    try:
        with process.stdin:
            process.stdin.write(text)
    except BrokenPipeError:
        # It ended before it read; its words say why.
        return


def redact(text: str) -> str:
    """Return `text` without names and passwords in addresses."""
    return re.sub(r"://[^/@\s]+@", "://***@", text)


def explain(said: str, code: int) -> PlinthError:
    """Return the error for what uv said on its way out with `code`."""
    shown = said.strip() or f"uv ended with {code} and said nothing"
    if "no usable wheels" in said or "has no wheels" in said or "--no-build" in said:
        return Invalid(
            f"a package has no wheel for this machine and Python:\n{shown}",
            hint="choose a version with a wheel. A job, workspace or flow that uses nothing of the "
            "package can name it in `environment.leave_out`. Source packages are not built, since "
            "that would run their code",
        )
    if _NO_PYTHON.search(said):
        return Invalid(
            f"there is no such Python here:\n{shown}",
            hint="choose the version of Python that runs Plinth, or let uv install that one",
        )
    if _NO_ACCESS.search(said):
        return Invalid(
            f"the package index refuses us:\n{shown}",
            hint="give uv the index and its credentials (UV_DEFAULT_INDEX, or a netrc file)",
        )
    if _NO_SPACE.search(said):
        return Temporary(
            f"the disk is full:\n{shown}", retry_after_s=60, hint="free some space, then try again"
        )
    if _NETWORK.search(said):
        return Temporary(
            f"uv cannot fetch what it needs:\n{shown}",
            retry_after_s=10,
            hint="check the network, and the proxy and index settings of uv",
        )
    if _NO_SOLUTION.search(said):
        return Invalid(
            f"the packages cannot be installed together:\n{shown}",
            hint="check the names, and loosen one of the versions that conflict",
        )
    if code < 0:
        return Temporary(f"uv was ended by signal {-code}:\n{shown}", hint="try again")
    return Permanent(f"uv failed with {code}:\n{shown}", hint="read what uv said above")


def timed(report: Report | None, text: str, started: float) -> None:
    """Report `text` with the seconds since `started` (monotonic)."""
    if report is not None:
        report(f"{text} in {time.monotonic() - started:.1f} s")
