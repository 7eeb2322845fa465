"""Hand a snapshot to Envoy through files, and wait until Envoy says what it made of it.

The gateway's reconciler (`control/gateway.py`) calls `apply`, `plinth up` calls `write` before
Envoy's first start. Nobody else writes below the folder; one writer at a time, who is asked by
`fence` right before each file is replaced, since somebody else may have become the writer while
this one was paused. What it writes all the same, in the instant after it was asked, the other one
finds by `is_on_disk` and puts right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from plinth.gateway.admin import Acknowledgement, Admin
from plinth.gateway.credentials import prepare
from plinth.gateway.envoy_types import file_name
from plinth.gateway.gate import GATE_KIND
from plinth.gateway.inner_names import INNER, PAIRS
from plinth.gateway.resources import Resources, clusters_in, hosts_in, resources
from plinth.gateway.snapshot import Snapshot
from plinth.gateway.validation import complaint
from plinth.kit.errors import Permanent, Temporary
from plinth.kit.files import make_private, write_atomic

# Raises when its caller may not write any more.
Fence = Callable[[], None]

_POLL_S = 0.005


def is_on_disk(snapshot: Snapshot, folder: Path) -> bool:
    """Tell whether the files are those of `snapshot`, byte for byte."""
    return all(
        _read(_path(folder, kind)) == content.to_bytes()
        for kind, content in snapshot.by_kind().items()
    )


def write(
    snapshot: Snapshot,
    folder: Path,
    *,
    kinds: Container[str] | None = None,
    fence: Fence | None = None,
) -> tuple[str, ...]:
    """Write the kinds that changed (of `kinds`, if given) in their order; return their names.

    A kind that was never written is written too: Envoy asks for every one. It sees each file whole
    or not at all. For a running Envoy use `apply`.
    """
    make_private(folder / PAIRS)
    written = tuple(
        kind
        for kind, content in snapshot.by_kind().items()
        if (kinds is None or kind in kinds or not _path(folder, kind).exists())
        and _write(folder, kind, content, fence)
    )
    prepare(clusters_in(_read(_path(folder, "cds"))))
    return written


def acknowledged(admin_socket: Path) -> dict[str, Acknowledgement]:
    """Ask Envoy what it uses, by kind. Raises Temporary when it cannot be reached."""
    with Admin(admin_socket) as admin:
        return admin.acknowledged()


def apply(
    snapshot: Snapshot,
    folder: Path,
    admin_socket: Path,
    *,
    deadline_s: float = 10.0,
    fence: Fence | None = None,
) -> None:
    """Make Envoy use `snapshot`; return when it does. Doing it again changes nothing.

    Clusters and inner hosts that are no longer wanted go last, so that no request is sent to a
    missing one.
    Blocks up to `deadline_s`. Raises Permanent with Envoy's reason when it refuses: then it goes
    on with what it had, and so do the files. Raises Temporary when Envoy cannot be reached or
    does not answer in time: then the files hold the new configuration for its next start. Raises
    what `fence` raises; then somebody else writes.
    """
    make_private(folder / PAIRS)
    # No lock: who is paused with it would keep the next writer out.
    with Admin(admin_socket) as admin:
        try:
            before = admin.acknowledged()
        except Temporary:
            write(snapshot, folder, fence=fence)
            raise
        step = _Step(snapshot, folder, admin, time.monotonic() + deadline_s, fence, before)
        kinds = snapshot.by_kind()
        clusters, inner = kinds.pop("cds"), kinds.pop(INNER)
        # Whoever is refused from now on is refused, whatever Envoy says of the rest.
        step.take(GATE_KIND, kinds.pop(GATE_KIND))
        step.take("cds", _with_clusters(clusters, _read(_path(folder, "cds"))))
        step.take(INNER, _with_hosts(inner, _read(_path(folder, INNER))))
        for kind, content in kinds.items():
            step.take(kind, content)
        step.take(INNER, inner)
        step.take("cds", clusters)


@dataclass(frozen=True, slots=True)
class _Step:
    """Hands over one kind after the other until the deadline (monotonic seconds)."""

    snapshot: Snapshot
    folder: Path
    admin: Admin
    deadline: float
    fence: Fence | None
    before: dict[str, Acknowledgement]

    def take(self, kind: str, content: Resources) -> None:
        """Write one kind and wait until Envoy uses it, or put the old one back."""
        path = _path(self.folder, kind)
        before = _read(path)
        used = self.before[kind]
        if used.version == content.version and before == content.to_bytes():
            return
        rejected = used.rejected
        if kind == "cds":
            prepare(content.items)
        _write(self.folder, kind, content, self.fence)

        def settled() -> bool:
            answer = self.admin.acknowledged()[kind]
            if answer.rejected > rejected:
                self._refused(kind, content.version, before)
            self.before[kind] = answer
            return answer.version == content.version

        if not _wait(settled, self.deadline):
            raise Temporary(
                f"Envoy has not taken the {kind} version `{content.version}` in time",
                hint="`plinth logs envoy` says why",
            )

    def _refused(self, kind: str, version: str, before: bytes | None) -> None:
        reason = self.admin.reason(version) or complaint(self.snapshot) or "its log says why"
        path = _path(self.folder, kind)
        # Envoy goes on with what it has, but would not start with what it refuses.
        if before is None:
            path.unlink()
        else:
            write_atomic(path, before, before_rename=self.fence)
        raise Permanent(
            f"Envoy refuses the {kind} version `{version}`: {reason}",
            hint="it goes on with the version before; this is a defect of Plinth",
        )


def _wait(settled: Callable[[], bool], deadline: float) -> bool:
    while not settled():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _write(folder: Path, kind: str, content: Resources, fence: Fence | None) -> bool:
    path = _path(folder, kind)
    make_private(path.parent)
    text = content.to_bytes()
    if _read(path) == text:
        return False
    write_atomic(path, text, before_rename=fence)
    return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _path(folder: Path, kind: str) -> Path:
    return folder / kind / file_name(kind)


def _with_clusters(wanted: Resources, before: bytes | None) -> Resources:
    """Return the wanted clusters and those of before that nothing else is called."""
    kept = clusters_in(before, without={item["name"] for item in wanted.items})
    return resources([*wanted.items, *kept]) if kept else wanted


def _with_hosts(wanted: Resources, before: bytes | None) -> Resources:
    """Return the wanted inner routes, and the hosts of before that nothing else is called."""
    (routes,) = wanted.items
    hosts = routes["virtual_hosts"]
    kept = hosts_in(before, without={host["name"] for host in hosts})
    return resources([{**routes, "virtual_hosts": [*hosts, *kept]}]) if kept else wanted
