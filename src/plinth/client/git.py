"""Say where a folder of code comes from: commit, branch, remote, and what is not committed.

Called before a job is submitted. The repository may be a stranger's: nothing that its configuration
names is executed, and nothing is written into it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from plinth.domain.model import CodeOrigin
from plinth.kit.archive import packed_names
from plinth.kit.excerpt import excerpt
from plinth.kit.ids import digest_of
from plinth.kit.units import format_bytes

DIFF_LIMIT_BYTES = 20_000_000
_ANSWER_LIMIT_BYTES = 20_000_000
_TIMEOUT_S = 60.0
_PIECE_BYTES = 65_536
_LONGEST_REMOTE = 500
# Which of the caller's own settings of git still count; the rest would point it elsewhere.
_KEPT = frozenset(
    {"GIT_CEILING_DIRECTORIES", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM"}
)
# No network, also where objects are missing that git would fetch; no questions, no pager.
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
# What git itself would run, and what would make the same difference look different elsewhere.
_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hookspath": "/dev/null",
    "core.splitindex": "false",
    "core.quotepath": "true",
    "core.compression": "-1",
    "core.bigfilethreshold": "512m",
    "diff.autorefreshindex": "true",
    "diff.noprefix": "false",
    "diff.mnemonicprefix": "false",
    "diff.relative": "false",
    "diff.suppressblankempty": "false",
    # Found again in what git says it was told: an old git does not know this way, and runs nothing.
    "plinth.heard": "true",
}
_DIFF = (
    *("diff", "HEAD", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--no-renames", "--diff-algorithm=default", "--unified=3", "--inter-hunk-context=0"),
    *("--indent-heuristic", "--ws-error-highlight=none", "-O/dev/null"),
    # Looking into a submodule would obey that one's configuration.
    *("--ignore-submodules=dirty", "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/"),
    *("--", "."),
)
# How a file begins in a difference; within one, no line begins so.
_FILE = re.compile(rb"^diff --git ", re.MULTILINE)
_HEAD = ("HEAD", "--symbolic-full-name", "HEAD")
# What else stands in a repository, and may be a link or large.
_UNREAD = frozenset({"annex", "hooks", "lfs", "logs", "modules"})
_FILTER = re.compile(r"filter\..*\.(clean|smudge|process|required)", re.DOTALL)
# Untracked files of these names are never kept: whoever may read the run reads its difference.
_SECRETS = (".env", ".env.*", "*.pem", "*.key", "id_rsa*", ".netrc", "credentials*")
_SHOWN_NAMES = 3
_LONGEST_NAME = 40
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:/@]*)(:[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the code comes from, and the difference that `code.diff_digest` names.

    `changed`: how many tracked files differ. `untracked`: the names of the others that are in it.
    """

    code: CodeOrigin
    diff: bytes | None = None
    changed: int = 0
    untracked: tuple[str, ...] = ()


class _Refused(Exception):
    """Git did not do it; the text says why, as far as it is known."""


class _TooMuch(_Refused):
    """More was printed than is taken."""


def find_origin(folder: Path, *, limit_bytes: int = DIFF_LIMIT_BYTES) -> Origin | None:
    """Return the origin of the code in `folder`.

    None outside of a git work tree, before its first commit, where git ignores the folder, where
    the repository is not the work tree's own, and where there is no git (2.31 or newer). The
    difference is that of the folder alone, to be used with `git apply` at the top of the work tree:
    tracked files that changed, and those untracked ones that git does not ignore and `pack` takes.
    Equal trees give equal bytes. Untracked files whose names say that they hold secrets are left
    out; `code.note` names them. One of more than `limit_bytes`, or of a repository that borrows
    objects of another one, is not kept: `code.note` says so.
    """
    program = shutil.which("git")
    if program is None or not folder.is_dir():
        return None
    with TemporaryDirectory(prefix="plinth-") as temporary:
        git = _Git(program, folder.resolve(), Path(temporary))
        try:
            said = git.ask("rev-parse", "--is-inside-work-tree", *_HEAD)
            inside, commit, name = said.decode(errors="replace").splitlines()
            settings = git.settings()
            if inside != "true" or "plinth.heard" not in settings or git.ignores():
                return None
            if not git.is_own(settings.get("core.worktree")):
                return None
        except (_Refused, ValueError, OSError):
            return None
        git.overrule({name: "" for name in settings if _FILTER.fullmatch(name)})
        branch = name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None
        remote = _remote(settings, branch)
        code = CodeOrigin(commit=commit, branch=branch and branch[:250], remote=remote)
        try:
            untracked, secret = git.untracked(packed_names(folder))
            diff = git.difference(untracked, limit_bytes)
        except _Refused as err:
            note = f"the uncommitted difference is not kept: {err}"
            return Origin(code.model_copy(update={"note": note[:300]}))
    if secret:
        code = code.model_copy(update={"note": _left_out(secret)})
    if not diff:
        return Origin(code)
    code = code.model_copy(update={"diff_digest": digest_of(diff)})
    changed = len(_FILE.findall(diff)) - len(untracked)
    return Origin(code, diff, changed, tuple(_shown(name) for name in untracked))


def listed_names(names: Sequence[str]) -> str:
    """Return the first few names for people, and how many more there are."""
    shown = ", ".join(f"`{excerpt(name, _LONGEST_NAME)}`" for name in names[:_SHOWN_NAMES])
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _left_out(names: Sequence[bytes]) -> str:
    listed = listed_names([_shown(name) for name in names])
    one = "1 untracked file named like a secret"
    files = one if len(names) == 1 else f"{len(names)} untracked files named like secrets"
    return f"the difference leaves out {files}: {listed}"


def _shown(name: bytes) -> str:
    return name.decode(errors="replace")


def _is_secret(name: bytes) -> bool:
    bare = _shown(name).rpartition("/")[2].lower()
    return any(fnmatchcase(bare, pattern) for pattern in _SECRETS)


def _remote(settings: Mapping[str, str], branch: str | None) -> str | None:
    """Return the address that the branch is pulled from, else `origin`'s, else the first one's."""
    names = [
        settings.get(f"branch.{branch}.remote", "origin"),
        "origin",
        *(key.split(".", 1)[1].rpartition(".")[0] for key in settings if _is_address(key)),
    ]
    addresses = (settings.get(f"remote.{name}.url") for name in names)
    address = next((address for address in addresses if address), None)
    return None if address is None else without_credentials(address)


def _is_address(key: str) -> bool:
    return key.startswith("remote.") and key.endswith(".url")


def without_credentials(address: str) -> str | None:
    """Return a remote's address without user, password, query and fragment.

    None for what cannot be taken apart with certainty: half a secret is one.
    """
    if not address.isprintable() or "::" in address.partition("[")[0]:
        return None
    scheme, separator, rest = address.partition("://")
    if separator:
        authority, slash, path = re.split("[?#]", rest, maxsplit=1)[0].partition("/")
        host = authority.rpartition("@")[2]
        # A slash within a password would leave the half of it in the path.
        is_whole = _HOST.fullmatch(host) and "@" not in path.partition("/")[0]
        clean = f"{scheme}://{host}{slash}{path}" if is_whole else None
    else:
        # `user@host:path`, or a folder.
        before, colon, path = address.partition(":")
        is_host = bool(colon) and "/" not in before
        clean = f"{before.rpartition('@')[2]}:{path}" if is_host else address
        if is_host and "@" in path.partition("/")[0]:
            clean = None
    return clean if clean is not None and len(clean) <= _LONGEST_REMOTE else None


class _Git:
    """Git in one folder, with an index and an object folder of its own to write into."""

    def __init__(self, program: str, folder: Path, temporary: Path) -> None:
        self._program = program
        self._folder = folder
        self._temporary = temporary
        self._ends_at = time.monotonic() + _TIMEOUT_S
        self._settings = dict(_SETTINGS)
        self._variables: dict[str, str] = {}

    def overrule(self, settings: Mapping[str, str]) -> None:
        """Let these settings count in the place of every file's."""
        self._settings |= {
            # A filter that is required and empty would be an error.
            name: "false" if name.endswith(".required") else value
            for name, value in settings.items()
        }

    def settings(self) -> dict[str, str]:
        """Return all settings that count here, by name."""
        pairs = self.ask("config", "--list", "-z").split(b"\0")
        split = (os.fsdecode(pair).partition("\n") for pair in pairs if pair)
        return {name: value for name, _, value in split}

    def is_own(self, worktree: str | None) -> bool:
        """Tell whether the repository is the work tree's own; `worktree`: the one that it names.

        A stranger's folder may name any repository, and what stands in that one would be sent
        away. One counts that stands in the folder with all its history, or that names the folder
        in turn, as those of linked work trees and of submodules do.
        """
        said = self.ask("rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir")
        top, own, common = (_real(self._folder / os.fsdecode(line)) for line in said.splitlines())
        named = top / ".git"
        if named.is_symlink():
            return False
        if named.is_dir():
            is_named = own == common == named
        elif own == common:
            is_named = worktree is not None and _real(own / worktree) == top
        else:
            back = (own / "gitdir").read_text().strip()
            is_named = own.parent == common / "worktrees" and _real(own / back) == named
        return is_named and not _has_links(common)

    def ignores(self) -> bool:
        """Tell whether git was told to ignore the whole folder."""
        try:
            self.ask("check-ignore", "--quiet", "--", ".")
        except _Refused:
            return False
        return True

    def untracked(self, names: frozenset[str]) -> tuple[list[bytes], list[bytes]]:
        """Return which of `names` git neither knows nor ignores: those to keep, and secrets."""
        found = self.ask("ls-files", "--others", "--exclude-standard", "-z", "--", ".")
        new = [name for name in found.split(b"\0") if os.fsdecode(name) in names]
        secret = [name for name in new if _is_secret(name)]
        return [name for name in new if name not in secret], secret

    def difference(self, added: Sequence[bytes], limit_bytes: int) -> bytes:
        """Return what differs from the last commit; of untracked files only those `added`."""
        self._write_beside()
        if added:
            file = self._temporary / "added"
            file.write_bytes(b"\0".join(added))
            # Only their names: what they hold is read by the difference.
            self.ask(
                "--literal-pathspecs",
                "add",
                "--intent-to-add",
                f"--pathspec-from-file={file}",
                "--pathspec-file-nul",
            )
        try:
            return self.ask(*_DIFF, limit_bytes=limit_bytes)
        except _TooMuch as err:
            raise _Refused(f"it has more than {format_bytes(limit_bytes)}") from err

    def _write_beside(self) -> None:
        """Work on a copy of the index from now on, and write objects into a folder of our own."""
        said = self.ask("rev-parse", "--git-path", "index", "--git-path", "objects")
        index, objects = (self._folder / os.fsdecode(line) for line in said.splitlines())
        if (objects / "info/alternates").exists():
            raise _Refused("the repository borrows objects of another one")
        copy, written = self._temporary / "index", self._temporary / "objects"
        written.mkdir()
        if index.exists():
            # With its time: git looks again at what changed in the second the index was written.
            shutil.copy2(index, copy)
        self._variables = {
            "GIT_INDEX_FILE": str(copy),
            "GIT_OBJECT_DIRECTORY": str(written),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(str(objects)),
        }

    def ask(self, *arguments: str, limit_bytes: int = _ANSWER_LIMIT_BYTES) -> bytes:
        """Run git and return what it printed. Raises _Refused when it fails or takes too long."""
        process = subprocess.Popen(
            (self._program, "--no-pager", *arguments),
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is ours to handle; and what git starts ends with it.
            start_new_session=True,
        )
        timer = threading.Timer(max(0.0, self._ends_at - time.monotonic()), _end, [process])
        timer.start()
        try:
            return _output(process, arguments, limit_bytes)
        finally:
            timer.cancel()
            _end(process)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or name in _KEPT
        }
        told = {"GIT_CONFIG_COUNT": str(len(self._settings))}
        for number, (name, value) in enumerate(self._settings.items()):
            told |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return inherited | _ENVIRONMENT | told | self._variables


def _real(path: Path) -> Path:
    # Unlike `Path.resolve` no error for links in a circle, which the repository may hold.
    return Path(os.path.realpath(path))


def _has_links(repository: Path) -> bool:
    """Tell whether something that git reads of a repository is a link, which may lead outside."""
    for place, folders, files in os.walk(repository):
        if Path(place) == repository:
            folders[:] = [name for name in folders if name not in _UNREAD]
        if any(os.path.islink(os.path.join(place, name)) for name in (*folders, *files)):
            return True
    return False


def _output(process: subprocess.Popen[bytes], arguments: Sequence[str], limit_bytes: int) -> bytes:
    assert process.stdout is not None
    printed = bytearray()
    while piece := process.stdout.read(_PIECE_BYTES):
        printed += piece
        if len(printed) > limit_bytes:
            raise _TooMuch("it printed too much")
    code = process.wait()
    verb = next(word for word in arguments if not word.startswith("-"))
    if code < 0:
        raise _Refused(f"`git {verb}` took longer than {_TIMEOUT_S:.0f} s")
    if code != 0:
        raise _Refused(f"`git {verb}` failed with exit code {code}")
    return bytes(printed)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill git and what it started, unless it was waited for: then its number may be another's."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _quoted(path: str) -> str:
    """Return the path as one entry of a list that is split at `:`."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
