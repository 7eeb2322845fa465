"""Answer one mini-batch: each of its rows ends in the output or, with its error, set aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .inputs import Checked, check_rows
from .json_rows import JsonRows
from .order import CONTENT_COLUMN, ERROR_COLUMN, FILE_COLUMN, ROW_COLUMN, Hopeless
from .predictors import BeyondForm, Model, NotRowByRow
from .rows import BadRow, Rows

_ERROR_LENGTH = 500
# By the name of each column that is passed on.
KeptTypes = Mapping[str, "pa.DataType | None"]


class TooManyErrors(Exception):
    """More rows failed than may; the message names the first."""


@dataclass(frozen=True)
class Scored:
    """The two tables of a mini-batch; None where one has no rows."""

    output: pa.Table | None
    quarantine: pa.Table | None


def score(
    rows: Rows | JsonRows, model: Model, kept: KeptTypes, file_name: str, budget: int
) -> Scored:
    """Return what is to be written of a mini-batch.

    `kept`: the columns that are passed on, with their types where these are known. `budget`: how
    many rows may fail. Raises TooManyErrors as soon as more did, Hopeless when the
    model does not answer row by row.
    """
    checked = check_rows(rows, model.signature, tuple(kept), kept)
    bad = list(checked.bad)
    _hold(bad, budget, file_name)

    def hold() -> None:
        _hold(bad, budget, file_name)

    answers, answered = _answer(checked, rows, model, bad, hold)
    output = None
    if len(answered):
        columns = _kept(checked, answered, tuple(kept))
        typed = {name: _arrow(array, model.type_of(name)) for name, array in answers.items()}
        output = _output(checked.places[answered], columns, typed, file_name)
    return Scored(output, _quarantine(bad, file_name) if bad else None)


def to_parquet(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=[FILE_COLUMN])
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _answer(
    checked: Checked,
    rows: Rows | JsonRows,
    model: Model,
    bad: list[BadRow],
    hold: Callable[[], None],
) -> tuple[dict[str, Any], Any]:
    """Return the answers by name, and which of the checked rows they are of.

    Where the model raises, the rows are halved until those that make it raise stand alone.
    """
    parts: list[tuple[Any, dict[str, Any]]] = []
    waiting = [np.arange(checked.count)] if checked.count else []
    while waiting:
        some = waiting.pop()
        is_all = len(some) == checked.count
        taken = pa.array(some)
        columns = checked.columns
        if not is_all:
            columns = {name: array.take(taken) for name, array in columns.items()}
        try:
            parts.append((some, model.predict(columns, len(some))))
        except NotRowByRow as err:
            raise Hopeless(f"{err}; a batch needs one answer for each row") from err
        except (Exception, SystemExit) as err:  # noqa: BLE001 - the model's code may raise anything
            if len(some) == 1:
                bad.append(_raised(checked, rows, int(some[0]), err))
                hold()
                continue
            half = len(some) // 2
            waiting += [some[half:], some[:half]]
    if not parts:
        return {}, np.array([], dtype=np.int64)
    parts.sort(key=lambda part: int(part[0][0]))
    names = list(parts[0][1])
    answers = {name: np.concatenate([one[name] for _, one in parts]) for name in names}
    return answers, np.concatenate([some for some, _ in parts])


def _raised(checked: Checked, rows: Rows | JsonRows, at: int, err: BaseException) -> BadRow:
    said = " ".join(str(err).split())[:_ERROR_LENGTH]
    is_ours = isinstance(err, BeyondForm)
    error = said if is_ours else f"the model raised {type(err).__name__}: {said}"
    return BadRow(int(checked.places[at]), error, rows.content(int(checked.chosen[at])))


def _kept(checked: Checked, answered: Any, keep: Sequence[str]) -> dict[str, Any]:
    """Return the columns that are passed on, of the rows that were answered."""
    columns = {name: {**checked.kept, **checked.columns}[name] for name in keep}
    if len(answered) == checked.count:
        return columns
    some = pa.array(answered)
    return {name: column.take(some) for name, column in columns.items()}


def _output(places: Any, kept: dict[str, Any], answers: dict[str, Any], file_name: str) -> pa.Table:
    columns: dict[str, Any] = {
        FILE_COLUMN: _constant(file_name, len(places)),
        ROW_COLUMN: pa.array(places + 1, pa.int64()),
        **kept,
    }
    for name, array in answers.items():
        if name in columns:
            raise Hopeless(f"the model's answer and `keep` both have a column `{name}`")
        columns[name] = array
    return pa.table(columns)


def _quarantine(bad: list[BadRow], file_name: str) -> pa.Table:
    ordered = sorted(bad, key=lambda row: row.place)
    return pa.table(
        {
            FILE_COLUMN: _constant(file_name, len(ordered)),
            ROW_COLUMN: pa.array([row.place + 1 for row in ordered], pa.int64()),
            ERROR_COLUMN: pa.array([row.error for row in ordered], pa.string()),
            CONTENT_COLUMN: pa.array([row.content for row in ordered], pa.string()),
        }
    )


def _hold(bad: list[BadRow], budget: int, file_name: str) -> None:
    if len(bad) > budget:
        first = min(bad, key=lambda row: row.place)
        raise TooManyErrors(f"`{file_name}` row {first.place + 1:,}: {first.error}")


def _constant(text: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(count, dtype=np.int32)), pa.array([text])
    ).cast(pa.string())


def _arrow(array: Any, wanted: pa.DataType | None) -> pa.Array:
    """Return a column of answers, in the type that all parts are to have where it can be."""
    if array.ndim > 1:
        return pa.array(array.tolist())
    is_whole = wanted is not None and pa.types.is_integer(wanted)
    # A missing value makes numbers with a fraction of whole ones.
    found = pa.array(array, from_pandas=array.dtype.kind == "O" or is_whole)
    if wanted is None or found.type == wanted:
        return found
    try:
        return found.cast(wanted)
    except pa.ArrowException:
        # The model answers otherwise than its signature says.
        return found
