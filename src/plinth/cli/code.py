"""Upload the folder of a workload's code, and what git says of where it came from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from plinth.cli.output import counted, note
from plinth.client.client import Client
from plinth.client.git import Origin, find_origin, listed_names
from plinth.domain.model import CodeOrigin
from plinth.kit.archive import Archive, pack, packed_names


def put_code(
    client: Client, folder: Path, team: str, *, more: Mapping[str, bytes] | None = None
) -> tuple[str, CodeOrigin | None]:
    """Return the digest of what was uploaded, and its origin where there is a work tree.

    `more`: files that are put beside those of the folder, by name.
    """
    code = _packed_with(folder, more) if more else pack(folder)
    origin = find_origin(folder)
    client.put_code(code.digest, code.content, team=team)
    if origin is None:
        return code.digest, None
    if origin.diff is not None and origin.code.diff_digest is not None:
        client.put_diff(origin.code.diff_digest, origin.diff, team=team)
    if origin.untracked:
        note(_kept(origin))
    if origin.code.note is not None:
        note(f"note: {origin.code.note}")
    return code.digest, origin.code


def _packed_with(folder: Path, more: Mapping[str, bytes]) -> Archive:
    with tempfile.TemporaryDirectory(prefix="plinth-code-") as made:
        for name in packed_names(folder):
            target = Path(made, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / name, target, follow_symlinks=False)
        for name, content in more.items():
            Path(made, name).write_bytes(content)
        return pack(Path(made))


def _kept(origin: Origin) -> str:
    shown = listed_names(origin.untracked)
    return (
        f"keeps the difference to commit {origin.code.commit[:7]}: {origin.changed} changed and "
        f"{counted(len(origin.untracked), 'untracked file')} ({shown}); list a file in "
        "`.gitignore` to leave it out"
    )
