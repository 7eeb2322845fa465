"""Managed environments: built once for each digest, complete or not there at all.

A build happens in a folder of its own beside the final one, under a lock; then one rename, then
the completion marker. Whatever a builder that was killed left behind is swept by the next one.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plinth.environments.resolver import Report, Uv, timed
from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.errors import Invalid, Temporary
from plinth.kit.files import locked, make_private, write_json
from plinth.kit.ids import new_id

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MARKER = "complete.json"
_BUILDING = ".building-"
_ALONE = "without-dependencies.lock"
_LEFT_OUT = "left-out.txt"
# What uv takes for a requirement that no Python meets: so a package is left out.
_NEVER = "; python_version < '0'"


@dataclass(frozen=True)
class BuiltEnvironment:
    """A complete environment; `python` is its interpreter, run as `python -m ...`."""

    digest: str
    folder: Path
    python: Path

    @property
    def lock(self) -> Path:
        """The exact versions it holds, one `name==version` a line."""
        return self.folder / "requirements.lock"


class Environments:
    """The environments below one folder. `uv`: the binary that resolves and installs."""

    def __init__(self, root: Path, uv: Path | str) -> None:
        self.root = root
        self._uv = Path(uv)

    def find(self, digest: str) -> BuiltEnvironment | None:
        """Return the environment when it is complete and its interpreter still exists."""
        if not _DIGEST.fullmatch(digest):
            raise Invalid(f"`{digest}` is not a digest; accepted: 64 hexadecimal characters")
        folder = self.root / digest
        python = folder / "bin" / "python"
        if not (folder / _MARKER).is_file() or not python.exists():
            return None
        return BuiltEnvironment(digest, folder, python)

    def build(self, spec: EnvironmentSpec, report: Report | None = None) -> BuiltEnvironment:
        """Return the environment, built if need be; blocks, for minutes at worst.

        Safe to call from several processes: one builds, the others wait for it. `report` gets
        lines for people. Raises Invalid (no such package, no wheel, conflict), Temporary
        (network, disk full) or Permanent, each with the end of what uv said.
        """
        digest = spec.digest
        found = self.find(digest)
        if found is not None:
            return found
        self._prepare()
        with self._lock(digest, report):
            found = self.find(digest)
            if found is not None:
                return found
            self.sweep()
            self._discard(self.root / digest)
            return self._build(spec, report)

    def sweep(self) -> None:
        """Remove what dead builders left; a folder whose builder lives stays."""
        if not self.root.is_dir():
            return
        for folder in self.root.glob(f"{_BUILDING}*"):
            digest = folder.name.removeprefix(_BUILDING).partition(".")[0]
            # A lock that this process holds counts as taken too: `_build` sweeps its own digest.
            with locked(self._lock_file(digest), wait=False) as dead:
                if dead:
                    shutil.rmtree(folder, ignore_errors=True)

    def _build(self, spec: EnvironmentSpec, report: Report | None) -> BuiltEnvironment:
        started = time.monotonic()
        digest = spec.digest
        for leftover in self.root.glob(f"{_BUILDING}{digest}.*"):
            # We hold the lock of this digest, so whoever made it is gone.
            shutil.rmtree(leftover, ignore_errors=True)
        folder = self.root / f"{_BUILDING}{digest}.{new_id('')}"
        try:
            self._install(spec, folder, report)
            os.replace(folder, self.root / digest)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        final = self.root / digest
        marker = {**spec.to_json(), "digest": digest, "seconds": time.monotonic() - started}
        write_json(final / _MARKER, marker)
        timed(report, f"environment {digest[:12]} is complete", started)
        return BuiltEnvironment(digest, final, final / "bin" / "python")

    def _install(self, spec: EnvironmentSpec, folder: Path, report: Report | None) -> None:
        uv = Uv(self._uv, self.root)
        python = str(folder / "bin" / "python")
        # The interpreter that runs Plinth is taken where it fits: it is certainly there.
        is_ours = spec.python == this_python()
        wanted = sys.executable if is_ours else spec.python
        uv.run(["venv", "--relocatable", "--no-project", "--python", wanted, str(folder)])
        # Found before anything is installed, so nothing that a package brings can take its place.
        trusted = Path(sys.executable if is_ours else os.path.realpath(python))
        lock = folder / "requirements.lock"
        wheels = [] if spec.allow_source else ["--only-binary", ":all:"]
        resolve = ["pip", "compile", "-", "--python", python, *_left_out(spec, folder)]
        plain = ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
        say = report or _say_nothing
        say("resolving versions")
        uv.run([*resolve, "--output-file", str(lock), *plain, *wheels], text=_lines(spec.packages))
        if spec.without_dependencies:
            alone = ["--no-deps", "--output-file", str(folder / _ALONE)]
            uv.run([*resolve, *plain, *wheels, *alone], text=_lines(spec.without_dependencies))
            _join(lock, folder / _ALONE)
        (folder / _LEFT_OUT).unlink(missing_ok=True)
        if not spec.packages and not spec.without_dependencies:
            return
        count = sum("==" in line for line in lock.read_text().splitlines())
        say(f"installing {count} packages")
        install = ["pip", "install", "--python", python, "--requirements", str(lock), "--no-deps"]
        uv.run([*install, "--link-mode", "hardlink", *wheels])
        say(f"compiling {count} packages")
        uv.compile(trusted, folder / "lib")

    @contextmanager
    def _lock(self, digest: str, report: Report | None) -> Iterator[None]:
        path = self._lock_file(digest)
        with locked(path, wait=False) as got:
            if got:
                yield
                return
        if report is not None:
            report(f"environment {digest[:12]} is being built by another process: waiting")
        with locked(path):
            yield

    def _lock_file(self, digest: str) -> Path:
        return self.root / f".{digest}.lock"

    def _prepare(self) -> None:
        try:
            make_private(self.root)
        except OSError as err:
            raise Temporary(
                f"the folder of environments `{self.root}` cannot be written: {err.strerror}",
                hint="check the disk and the owner of the folder",
            ) from err

    def _discard(self, folder: Path) -> None:
        """Remove an incomplete or broken environment, its marker first."""
        if folder.exists():
            (folder / _MARKER).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


def _left_out(spec: EnvironmentSpec, folder: Path) -> list[str]:
    """Return the options that leave packages out, whoever asks for them."""
    if not spec.leave_out:
        return []
    path = folder / _LEFT_OUT
    path.write_text(_lines(f"{name}{_NEVER}" for name in spec.leave_out))
    return ["--override", str(path)]


def _lines(packages: Iterable[str]) -> str:
    return "".join(f"{package}\n" for package in packages)


def _join(lock: Path, alone: Path) -> None:
    """Add what was resolved alone to the lock. Raises Invalid when it has another version of it."""
    kept = lock.read_text().splitlines()
    versions = {name: version for name, _, version in (line.partition("==") for line in kept)}
    more = [line for line in alone.read_text().splitlines() if line not in kept]
    for name, _, version in (line.partition("==") for line in more):
        if name in versions:
            raise Invalid(
                f"`{name}=={version}` of `without_dependencies` is also what `packages` need, "
                f"in version {versions[name]}",
                hint="name no version of it, or leave it to `packages`",
            )
    lock.write_text(_lines([*kept, *more]))
    alone.unlink()


def _say_nothing(_text: str) -> None:
    """Stand in for the reporter that nobody gave."""
