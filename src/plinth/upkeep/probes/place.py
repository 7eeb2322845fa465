"""Probes of the home itself: may it be written, is there room, does the clock fit its files."""

from __future__ import annotations

import os
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from plinth.kit.errors import Invalid
from plinth.kit.settings import FILE_NAME, load_settings
from plinth.kit.units import format_bytes, format_duration
from plinth.upkeep.finding import Finding, Scene, failed, ok, skipped, warning

_FAILS_BELOW = 200 * 10**6
_WARNS_BELOW = 2 * 10**9
_INODES_FAIL_BELOW = 1_000
_INODES_WARN_BELOW = 50_000
# No file of ours can be older than the first version of Plinth.
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_SLACK = timedelta(seconds=60)


def probe_folder(scene: Scene) -> Finding:
    """Write a file into the home, and see who else may read it."""
    name, root = "home", scene.home.root
    if not root.exists():
        return skipped(name, f"`{root}` does not exist yet; `plinth up` makes it")
    try:
        with tempfile.NamedTemporaryFile(dir=root, prefix=".doctor-") as stream:
            stream.write(b"x")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as err:
        return failed(
            name,
            f"`{root}` cannot be written: {err.strerror}",
            f"give it back to its user: `chown -R $USER {root}`, and free some space",
        )
    mode = stat.S_IMODE(root.stat().st_mode)
    if mode & 0o077:
        return failed(
            name, f"`{root}` has mode {mode:04o}: others can look into it", f"`chmod 700 {root}`"
        )
    return ok(name, f"`{root}` can be written, and only by its owner")


def probe_path(scene: Scene) -> Finding:
    """See whether Unix sockets fit below the home."""
    try:
        scene.home.check_length()
    except Invalid as err:
        return failed("home path", err.message, err.hint or "choose a shorter folder")
    return ok("home path", f"{len(os.fsencode(scene.home.root))} bytes, short enough for sockets")


def probe_disk(scene: Scene) -> Finding:
    """See how much room there is, and whether the access logs may use it up."""
    name, folder = "disk", _existing(scene.home.root)
    seen = os.statvfs(folder)
    free = seen.f_bavail * seen.f_frsize
    fact = f"{format_bytes(free)} are free"
    if free < _FAILS_BELOW:
        return failed(
            name,
            f"{fact}; below {format_bytes(_FAILS_BELOW)} nothing can be relied on",
            "free some space on the disk of the home: ended runs (`plinth delete`), "
            f"`{scene.home.root / 'backups'}`",
        )
    logs = sum(each.stat().st_size for each in scene.home.gateway.glob("access.log*"))
    growth = max(0, scene.settings.access_logs_bytes - logs)
    if free < _WARNS_BELOW:
        return warning(name, fact, "free some space: a model's environment alone may need 1 GB")
    if free < growth:
        return warning(
            name,
            f"{fact}, and access logs may still grow by {format_bytes(growth)}",
            f"lower `access_logs_bytes` in `{scene.home.root / FILE_NAME}`, or free some space",
        )
    return ok(name, fact)


def probe_inodes(scene: Scene) -> Finding:
    """See how many more files the disk takes."""
    name, seen = "inodes", os.statvfs(_existing(scene.home.root))
    if seen.f_files == 0:
        return ok(name, "this file system has no fixed number of files")
    fact = f"{seen.f_favail:,} more files fit"
    if seen.f_favail < _INODES_FAIL_BELOW:
        return failed(name, fact, "remove small files; an environment has some 30,000")
    if seen.f_favail < _INODES_WARN_BELOW:
        return warning(name, fact, "remove small files: an environment has some 30,000")
    return ok(name, fact)


def probe_settings(scene: Scene) -> Finding:
    """Read the settings as the control plane does."""
    name, path = "settings", scene.home.root / FILE_NAME
    if not path.exists():
        return ok(name, "there is no settings.toml: every setting has its default")
    try:
        load_settings(scene.home.root)
    except Invalid as err:
        todo = f"mend `{path}`; {err.hint}" if err.hint else f"mend `{path}`"
        return failed(name, err.message, todo)
    if stat.S_IMODE(path.stat().st_mode) & 0o077 and scene.settings.database:
        return warning(
            name, f"`{path}` holds a password and others can read it", f"`chmod 600 {path}`"
        )
    return ok(name, f"`{path}` is valid")


def probe_clock(scene: Scene) -> Finding:
    """Compare the clock with the newest file of the home: it may not lie ahead."""
    name, now = "clock", datetime.now(UTC)
    if now < _FIRST:
        return failed(
            name,
            f"it says {now:%Y-%m-%d %H:%M} UTC, before the first Plinth was made",
            "set the clock, best by NTP: keys and leases go by it",
        )
    newest = _newest(scene)
    if newest is None:
        return ok(name, f"it says {now:%Y-%m-%d %H:%M} UTC; there are no files to compare it with")
    path, at = newest
    if at > now + _SLACK:
        ahead = format_duration((at - now).total_seconds())
        return failed(
            name,
            f"`{path.name}` was written {ahead} after the time that it shows now: it was set back",
            "set the clock, best by NTP; until it has caught up, keys live longer and runs that "
            "wait may be late",
        )
    return ok(name, f"it says {now:%Y-%m-%d %H:%M} UTC, after every file of the home")


def _newest(scene: Scene) -> tuple[Path, datetime] | None:
    home = scene.home
    paths = [
        home.node_file,
        home.admin_token,
        home.root / "agent.log",
        *home.database.parent.glob("*"),
        *home.gateway.glob("access.log*"),
    ]
    times = {path: path.stat().st_mtime for path in paths if path.is_file()}
    if not times:
        return None
    path = max(times, key=lambda each: times[each])
    return path, datetime.fromtimestamp(times[path], UTC)


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


PROBES = (
    probe_folder,
    probe_path,
    probe_disk,
    probe_inodes,
    probe_settings,
    probe_clock,
)
