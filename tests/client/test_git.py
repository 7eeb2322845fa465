"""Where code comes from is found in a real repository, and nothing that it names is executed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from plinth.client.git import Origin, find_origin, without_credentials
from plinth.kit.ids import digest_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")


class Repository:
    """A work tree with one commit of `code/a.py`, `code/gone.py` and `other/b.py`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.code = root / "code"
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("code/a.py", "one\n")
        self.write("code/gone.py", "gone\n")
        self.write("other/b.py", "b\n")
        self.commit()

    def git(self, *arguments: str, check: bool = True) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.root, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "x")
        return self.git("rev-parse", "HEAD")

    def origin(self, folder: str = "code", **options: int) -> Origin:
        found = find_origin(self.root / folder, **options)
        assert found is not None
        return found

    def diff(self, folder: str = "code") -> str:
        return (self.origin(folder).diff or b"").decode()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "r").mkdir()
    return Repository(tmp_path / "r")


def test_a_clean_tree_is_its_commit_and_branch(repository: Repository) -> None:
    found = repository.origin()
    assert found.diff is None
    assert found.code.model_dump() == {
        "commit": repository.git("rev-parse", "HEAD"),
        "branch": "main",
        "remote": None,
        "diff_digest": None,
        "note": None,
    }


def test_without_a_work_tree_a_commit_or_git_nothing_is_known(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").mkdir()
    assert find_origin(tmp_path / "plain") is None
    assert find_origin(tmp_path / "nothing") is None
    (tmp_path / "new").mkdir()
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "new")], check=True)
    assert find_origin(tmp_path / "new") is None
    assert find_origin(repository.root / ".git") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_origin(repository.code) is None


def test_a_folder_that_git_ignores_has_no_commit(repository: Repository) -> None:
    repository.write(".gitignore", "/scratch/\n")
    repository.write("scratch/x.py", "x")
    repository.commit()
    assert find_origin(repository.root / "scratch") is None


def test_what_is_not_committed_can_be_applied_again(repository: Repository, tmp_path: Path) -> None:
    repository.write("code/data.bin", bytes(range(256)) * 20)
    repository.commit()
    repository.write("code/a.py", "one\ntwo\n")
    repository.git("rm", "--quiet", "code/gone.py")
    repository.write("code/data.bin", bytes(reversed(range(256))) * 20)
    repository.write("code/neu/ü \t.py", "new\n")
    repository.write("code/new.bin", b"\0\1\2")
    repository.write("code/empty", "")
    repository.write("code/staged.py", "staged\n")
    repository.git("add", "code/staged.py")
    (repository.code / "link").symlink_to("a.py")
    found = repository.origin()
    assert found.diff is not None
    assert found.code.diff_digest == digest_of(found.diff)
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "--quiet", repository.root, copy], check=True)
    (tmp_path / "patch").write_bytes(found.diff)
    subprocess.run(["git", "apply", tmp_path / "patch"], cwd=copy, check=True)
    assert (
        shutil.which("diff") is None
        or not subprocess.run(
            ["diff", "-r", "--no-dereference", repository.code, copy / "code"],
            check=False,
            stdout=subprocess.PIPE,
        ).stdout
    )


def test_only_the_folder_counts_and_what_would_be_packed(repository: Repository) -> None:
    repository.write("other/b.py", "changed\n")
    repository.write(".gitignore", "*.log\n")
    repository.write("code/run.log", "ignored by git")
    repository.write("code/__pycache__/a.pyc", "not packed")
    assert repository.diff() == ""
    repository.write("code/new.py", "new\n")
    assert repository.diff().count("diff --git") == 1
    assert "b.py" in repository.diff(".")


def test_the_same_tree_gives_the_same_bytes_whatever_the_settings_are(
    repository: Repository,
) -> None:
    repository.write("code/a.py", "".join(f"{number}\n" for number in range(50)))
    repository.write("code/moved.py", "gone\n")
    (repository.code / "gone.py").unlink()
    repository.write("code/z.bin", bytes(5000))
    first = repository.origin()
    for name, value in {
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.renames": "copies",
        "diff.algorithm": "patience",
        "diff.context": "9",
        "diff.relative": "true",
        "color.ui": "always",
        "core.abbrev": "5",
        "core.compression": "9",
        "diff.orderFile": "order",
        "core.quotePath": "false",
    }.items():
        repository.git("config", name, value)
    repository.write("order", "*.bin\n")
    (repository.code / "a.py").touch()
    assert repository.origin() == first


def test_a_change_in_the_second_of_the_commit_is_seen(repository: Repository) -> None:
    file, index = repository.code / "a.py", repository.root / ".git/index"
    times = (1_700_000_000, 1_700_000_000)
    os.utime(file, times)
    repository.git("add", "--all")
    file.write_text("two\n")
    for path in (file, index):
        os.utime(path, times)
    repository.write("code/new.py", "new\n")
    assert repository.diff().count("diff --git") == 2


def test_nothing_is_written_into_the_repository(repository: Repository) -> None:
    repository.write("code/a.py", "two\n")
    repository.write("code/new.py", "new\n")
    before = {path: path.stat().st_mtime_ns for path in (repository.root / ".git").rglob("*")}
    assert repository.diff()
    after = {path: path.stat().st_mtime_ns for path in (repository.root / ".git").rglob("*")}
    assert after == before
    assert repository.git("status", "--short").split() == ["M", "code/a.py", "??", "code/new.py"]


def test_nothing_that_the_repository_names_is_executed(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 $@ >> {ran}\ncat\n")
    program.chmod(0o755)
    hooks = repository.root / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        shutil.copy(program, hooks / hook)
    repository.write(".gitattributes", "*.py filter=evil diff=evil\n*.x filter=e.v=l\n")
    repository.write("code/a.x", "x\n")
    repository.commit()
    ran.unlink(missing_ok=True)
    for name, value in {
        "core.fsmonitor": str(program),
        "core.pager": str(program),
        "core.sshCommand": str(program),
        "core.askPass": str(program),
        "core.alternateRefsCommand": str(program),
        "diff.external": str(program),
        "diff.evil.command": str(program),
        "diff.evil.textconv": str(program),
        "filter.evil.clean": str(program),
        "filter.evil.smudge": str(program),
        "filter.evil.required": "true",
        "filter.e.v=l.process": str(program),
        "filter.e.v=l.required": "true",
        "pager.diff": str(program),
        "alias.diff": f"!{program}",
        "credential.helper": str(program),
        "gpg.program": str(program),
    }.items():
        repository.git("config", name, value)
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(program))
    monkeypatch.setenv("GIT_PAGER", str(program))
    repository.write("code/a.py", "two\n")
    repository.write("code/a.x", "y\n")
    repository.write("code/new.py", "new\n")
    found = repository.origin()
    assert found.diff is not None
    assert found.diff.count(b"diff --git") == 3
    assert not ran.exists(), ran.read_text()


def test_missing_objects_are_not_fetched(repository: Repository, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 $@ >> {ran}\n")
    program.chmod(0o755)
    blob = repository.git("rev-parse", "HEAD:code/a.py")
    (repository.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": "ssh://host.example/repo",
        "core.sshCommand": str(program),
    }.items():
        repository.git("config", name, value)
    repository.write("code/a.py", "two\n")
    found = repository.origin()
    assert (found.diff, found.code.diff_digest) == (None, None)
    assert found.code.note is not None
    assert "failed" in found.code.note
    assert not ran.exists(), ran.read_text()


def test_a_difference_that_is_too_large_is_not_kept_and_that_is_said(
    repository: Repository,
) -> None:
    repository.write("code/big.py", "x = 1\n" * 1000)
    found = repository.origin(limit_bytes=5000)
    assert (found.diff, found.code.diff_digest) == (None, None)
    assert found.code.note == "the uncommitted difference is not kept: it has more than 5 kB"
    assert repository.origin(limit_bytes=10_000).code.note is None


def test_untracked_files_named_like_secrets_are_left_out_and_named(repository: Repository) -> None:
    repository.write("code/.env", "TOKEN=1\n")
    found = repository.origin()
    assert (found.diff, found.code.diff_digest) == (None, None)
    note = "the difference leaves out 1 untracked file named like a secret: `.env`"
    assert found.code.note == note
    secrets = ("sub/.env.local", "tls.PEM", "tls.key", "id_rsa", ".netrc", "credentials.json")
    for name in secrets:
        repository.write(f"code/{name}", "hush\n")
    repository.write("code/new.py", "new\n")
    repository.write("code/a.py", "changed\n")
    found = repository.origin()
    assert (found.changed, found.untracked) == (1, ("new.py",))
    assert found.diff is not None
    assert b"hush" not in found.diff
    assert b"TOKEN" not in found.diff
    assert "7 untracked files named like secrets" in str(found.code.note)
    assert "and 4 more" in str(found.code.note)
    repository.commit()
    repository.write("code/.env", "TOKEN=2\n")
    # What was committed is no secret any more.
    assert "TOKEN=2" in repository.diff()
    assert repository.origin().code.note is None


def test_variables_of_a_hook_do_not_lead_elsewhere(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = repository.origin()
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert repository.origin() == expected


def test_other_work_trees_and_commits_without_a_branch_are_told(
    repository: Repository, tmp_path: Path
) -> None:
    repository.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "beside"))
    (tmp_path / "beside/code/a.py").write_text("two\n")
    found = find_origin(tmp_path / "beside/code")
    assert found is not None
    assert (found.code.branch, found.diff is None) == (None, False)


def stranger(root: Path) -> Path:
    """Return a folder beside the repository, as one that was unpacked from somebody's archive."""
    (root / "stranger/code").mkdir(parents=True)
    (root / "stranger/code/a.py").write_text("theirs\n")
    return root / "stranger"


def test_a_folder_that_names_anothers_repository_reads_nothing_of_it(
    repository: Repository, tmp_path: Path
) -> None:
    folder = stranger(tmp_path)
    (folder / ".git").write_text("gitdir: ../r/.git\n")
    assert find_origin(folder / "code") is None
    (folder / ".git").unlink()
    (folder / ".git").symlink_to("../r/.git")
    assert find_origin(folder / "code") is None


def test_a_repository_whose_history_is_anothers_reads_nothing_of_it(
    repository: Repository, tmp_path: Path
) -> None:
    folder = stranger(tmp_path)
    (folder / ".git").mkdir()
    (folder / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (folder / ".git/commondir").write_text("../../r/.git\n")
    assert find_origin(folder / "code") is None
    # One that names the folder in turn, as a linked work tree's does.
    (folder / ".git").rename(folder / "store")
    (folder / ".git").write_text("gitdir: store\n")
    (folder / "store/gitdir").write_text(f"{folder}/.git\n")
    assert find_origin(folder / "code") is None


@pytest.mark.parametrize("parts", [("objects", "refs"), ("objects", "refs/heads/main")])
def test_links_to_anothers_history_are_not_followed(
    repository: Repository, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    folder = stranger(tmp_path)
    subprocess.run(["git", "init", "-q", "--initial-branch=main", folder], check=True)
    for part in parts:
        path = folder / ".git" / part
        if path.is_dir():
            shutil.rmtree(path)
        path.symlink_to(repository.root / ".git" / part)
    assert find_origin(folder / "code") is None


def test_borrowed_objects_are_not_read(repository: Repository, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", "--shared", repository.root, copy], check=True)
    (copy / "code/a.py").write_text("two\n")
    found = find_origin(copy / "code")
    assert found is not None
    assert (found.diff, found.code.diff_digest) == (None, None)
    assert found.code.note is not None
    assert "borrows objects" in found.code.note


def test_a_submodule_is_a_repository_of_its_own(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    inner = Repository(tmp_path / "inner")
    repository.git(
        *("-c", "protocol.file.allow=always"),
        *("submodule", "--quiet", "add", str(inner.root), "code/sub"),
    )
    repository.write("code/sub/code/a.py", "two\n")
    found = repository.origin("code/sub")
    assert found.code.commit == inner.git("rev-parse", "HEAD")
    assert found.diff is not None


def test_a_submodule_is_not_looked_into(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    inner = Repository(tmp_path / "inner")
    repository.git(
        *("-c", "protocol.file.allow=always"),
        *("submodule", "--quiet", "add", str(inner.root), "code/sub"),
    )
    repository.commit()
    ran = tmp_path / "ran"
    repository.git("-C", "code/sub", "config", "core.fsmonitor", f"touch {ran}; false")
    repository.write("code/sub/code/a.py", "two\n")
    assert repository.origin(".").diff is None
    assert not ran.exists()


def test_the_remote_is_the_branchs_own_without_credentials(repository: Repository) -> None:
    repository.git("remote", "add", "fork", "https://ann:s3cret@host.example/fork.git?token=s3cret")
    assert repository.origin().code.remote == "https://host.example/fork.git"
    repository.git("remote", "add", "origin", "git@host.example:team/repo.git")
    assert repository.origin().code.remote == "host.example:team/repo.git"
    repository.git("config", "branch.main.remote", "fork")
    assert repository.origin().code.remote == "https://host.example/fork.git"


@pytest.mark.parametrize(
    ("address", "clean"),
    [
        ("https://host/a/b.git", "https://host/a/b.git"),
        ("https://token@host:8443/a#x", "https://host:8443/a"),
        ("https://u:p@ss@host/a", "https://host/a"),
        ("ssh://git@[::1]:22/a", "ssh://[::1]:22/a"),
        ("git@host:a/b", "host:a/b"),
        ("/srv/repos/a", "/srv/repos/a"),
        ("../a:b", "../a:b"),
        ("file:///srv/a", "file:///srv/a"),
        # A password with a slash in it: half of it would be left.
        ("https://u:p/ss@host/a", None),
        ("https://u:12/ss@host/a", None),
        ("u:p@host:a", None),
        ("ext::sh -c x", None),
        ("https://host/a\nb", None),
        ("https://host/" + "a" * 500, None),
    ],
)
def test_an_address_is_kept_only_without_secrets(address: str, clean: str | None) -> None:
    assert without_credentials(address) == clean


def test_an_old_git_that_would_not_obey_is_not_asked(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = shutil.which("git")
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nunset GIT_CONFIG_COUNT\nexec {git} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    assert find_origin(repository.code) is None
