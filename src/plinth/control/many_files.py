"""Make versions of many files: each is received and looked into once, then a listing names them.

Called by the API: `keep_file` for each file, `missing_of` to learn which are there, and
`make_version` when all are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import Annotated

from pydantic import Field

from plinth.control.context import Context
from plinth.control.data_folder import (
    LISTING,
    MOST_FILES,
    check_file_name,
    content_key,
    data_key,
    digest_of_files,
    file_key,
    write_listing,
)
from plinth.control.datasets import NewData
from plinth.domain.base import Declared
from plinth.domain.model import Column, DataFile
from plinth.kit.errors import Invalid, NotFound
from plinth.kit.excerpt import excerpt
from plinth.kit.files import make_private
from plinth.runtimes.batchrunner.records import Unreadable, csv_records, header_names, json_records
from plinth.storage.tabular import Table, inspect

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_PARQUET, _CSV = ".parquet", ".csv"
_TEXT = "VARCHAR"
_SHOWN = 5


class NamedFile(Declared):
    """A file by its name in the version, and the SHA-256 of its bytes."""

    name: str
    digest: Digest


class FileList(Declared):
    """The files of a version, in order.

    `as_is`: also files whose columns differ, that are empty, or of which some rows cannot be read;
    who works on them finds out.
    """

    files: Annotated[tuple[NamedFile, ...], Field(min_length=1, max_length=MOST_FILES)]
    as_is: bool = False


class Described(Declared):
    """What one file holds, as it was found when it was received."""

    size_bytes: int
    rows: int | None
    columns: tuple[Column, ...]
    problem: str | None = None


def keep_file(context: Context, team: str, file: NamedFile, path: Path) -> Described:
    """Look into a received file and store it under its digest; return what it holds.

    A file that is empty, and one of text of which some lines cannot be read, is kept with its
    problem. Raises Invalid for what cannot be read at all.
    """
    found = _look(path, file.name)
    context.storage.put_file(path, content_key(team, file.digest))
    # Written last: a file counts as there when it is described.
    with NamedTemporaryFile(dir=make_private(context.home.storage / ".uploads")) as stream:
        stream.write(found.model_dump_json().encode())
        stream.flush()
        context.storage.put_file(Path(stream.name), _description_key(team, file))
    return found


def missing_of(context: Context, team: str, files: Sequence[NamedFile]) -> list[str]:
    """Return the digests of those files that have not been received yet."""
    return [each.digest for each in files if find_file(context, team, each) is None]


def find_file(context: Context, team: str, file: NamedFile) -> Described | None:
    """Return what a file holds, or None when the team has not sent it."""
    try:
        with context.storage.open(_description_key(team, file)) as stream:
            return Described.model_validate_json(stream.read())
    except NotFound:
        return None


def make_version(context: Context, team: str, name: str, wanted: FileList) -> tuple[NewData, Table]:
    """Write the listing of files that are all there; return what `add_version` makes a row of.

    Raises Invalid for a name that stands twice, a file that was not sent, and, unless it is to be
    taken as it is, one that is empty, damaged, or whose columns are not those of the first.
    """
    names = [check_file_name(each.name) for each in wanted.files]
    for twice in sorted({each for each in names if names.count(each) > 1})[:1]:
        raise Invalid(f"two files are called `{excerpt(twice)}`", hint="rename one of them")
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    for both in sorted(folders.intersection(names))[:1]:
        raise Invalid(f"`{excerpt(both)}` is a file and a folder", hint="rename one of them")
    found = [_required(context, team, each) for each in wanted.files]
    if not wanted.as_is:
        _check_alike(wanted.files, found)
    files = tuple(
        DataFile(
            name=file.name,
            digest=file.digest,
            size_bytes=each.size_bytes,
            rows=each.rows,
            problem=each.problem,
        )
        for file, each in zip(wanted.files, found, strict=True)
    )
    digest = digest_of_files(files)
    with NamedTemporaryFile(dir=make_private(context.home.storage / ".uploads")) as stream:
        stream.write(write_listing(files))
        stream.flush()
        context.storage.put_file(Path(stream.name), f"{data_key(team, name, digest)}/{LISTING}")
    size_bytes = sum(each.size_bytes for each in files)
    data = NewData(team=team, name=name, file_name=LISTING, digest=digest, size_bytes=size_bytes)
    columns = next((each.columns for each in found if each.columns), ())
    return data, Table(sum(each.rows or 0 for each in files), columns)


def _description_key(team: str, file: NamedFile) -> str:
    # The same bytes may be read as CSV by one name and as lines of JSON by another.
    ending = Path(file.name).suffix.lower().removeprefix(".") or "none"
    return f"{file_key(team, file.digest)}/{ending}.json"


def _look(path: Path, name: str) -> Described:
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        return Described(size_bytes=0, rows=0, columns=(), problem="is empty")
    try:
        table = inspect(path, file_name=Path(name).name)
    except Invalid as err:
        if Path(name).suffix.lower() in (_PARQUET, "") or "no data file" in err.message:
            raise
        rows, columns = _counted(path, name)
        return Described(size_bytes=size_bytes, rows=rows, columns=columns, problem=err.message)
    return Described(size_bytes=size_bytes, rows=table.rows, columns=table.columns)


def _counted(path: Path, name: str) -> tuple[int | None, tuple[Column, ...]]:
    """Return the rows and columns of a text file of which some rows cannot be read as a table."""
    try:
        with path.open("rb") as stream:
            if Path(name).suffix.lower() != _CSV:
                return sum(1 for _ in json_records(stream)), ()
            records = csv_records(stream)
            names = header_names(next(records, b""))
            return sum(1 for _ in records), tuple(Column(name=n, type=_TEXT) for n in names)
    except Unreadable:
        return None, ()


def _required(context: Context, team: str, file: NamedFile) -> Described:
    found = find_file(context, team, file)
    if found is None:
        raise Invalid(
            f"`{excerpt(file.name)}` ({file.digest[:12]}) was not sent",
            hint="`PUT /api/v1/data/NAME/files/DIGEST` first; `plinth data add` does",
        )
    return found


def _check_alike(files: Sequence[NamedFile], found: Sequence[Described]) -> None:
    first = found[0]
    wrong = []
    for number, (file, each) in enumerate(zip(files, found, strict=True), 1):
        why = each.problem or _difference(first.columns, each.columns)
        if why:
            wrong.append(f"file {number} of {len(files)}, `{file.name}`: {why}")
    if wrong:
        more = f"\nand {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise Invalid(
            "\n".join(wrong[:_SHOWN]) + more,
            hint="the files of a version have the same columns; `--as-is` takes them as they are",
        )


def _difference(first: Sequence[Column], other: Sequence[Column]) -> str:
    """Say how the columns of a file differ from those of the first; types are judged by name.

    The types of a text file are guesses, and differ with what stands in it by chance.
    """
    before, after = {each.name for each in first}, {each.name for each in other}
    missing, new = sorted(before - after), sorted(after - before)
    said = [f"it has no column {_listed(missing)}"] if missing else []
    said += [f"it has {_listed(new)}, which the first file has not"] if new else []
    return "; ".join(said)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{excerpt(name)}`" for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
