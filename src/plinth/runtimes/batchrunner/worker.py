"""A worker: counts the rows of files and answers mini-batches, as it is told line by line.

Started by the runner as `python -m batchrunner.worker ORDER WORK NAME IN OUT`; IN and OUT are the
file descriptors of the conversation. What the model prints goes to the log, as from a job.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import pyarrow as pa

from .inputs import needed
from .journal import Journal, write_part
from .leave_path import leave_path
from .order import Hopeless, Order, read_order
from .predictors import Model, load_model
from .reader import ParquetRows, TextRows, check_digest, index_file, kept_types, open_file
from .score import TooManyErrors, score, to_parquet
from .work import Finished, Index, rows_of

OUTPUT, QUARANTINE, JOURNAL, FORM = "output", "quarantine", "journal", "form"


class Worker:
    """See the module. Holds the model once it was told to load it."""

    def __init__(self, order: Order, work: Path, name: str) -> None:
        self._order, self._work = order, work
        self._journal = Journal(work / JOURNAL, name)
        self._model: Model | None = None
        self._index: Index | None = None
        self._open: tuple[int, ParquetRows | TextRows] | None = None
        self._kept: dict[str, pa.DataType | None] | None = None

    def load(self, told: dict[str, Any]) -> dict[str, Any]:
        """Load the model in the form that was found for it."""
        folder = told.get("folder")
        self._model = load_model(self._order.model, told["form"], Path(folder) if folder else None)
        return {"loaded": True}

    def index(self, told: dict[str, Any]) -> dict[str, Any]:
        """Count the rows of a file, whose bytes must be those that were added."""
        number = told["file"]
        path = self._order.path_of(number)
        check_digest(path, self._order.files[number])
        index = index_file(number, path, self._order.mini_batch)
        self._journal.index(index)
        return {"indexed": index.to_json()}

    def score(self, told: dict[str, Any]) -> dict[str, Any]:
        """Answer one mini-batch, unless more rows fail than may."""
        assert self._model is not None  # It was told to load it before.
        index = self._index_of(told)
        batch: int = told["batch"]
        reader = self._reader(index)
        file = self._order.files[index.file]
        if self._kept is None:
            self._kept = kept_types(self._order)
        rows = reader.read(batch, needed(self._model.signature, self._order.keep, reader.columns))
        scored = score(rows, self._model, self._kept, file.name, told["budget"])
        name = f"part-{index.file:05d}-{batch:06d}.parquet"
        first, stop = rows_of(index, batch, self._order.mini_batch)
        finished = Finished(
            index.file,
            batch,
            stop - first,
            output=self._write(OUTPUT, name, scored.output),
            quarantine=self._write(QUARANTINE, name, scored.quarantine),
        )
        if not finished.is_whole:
            raise Hopeless(f"`{file.name}`: rows of mini-batch {batch} are lost; this is our bug")
        self._journal.finish(finished)
        told_back = {"rows": finished.rows, "errors": finished.errors}
        return {"finished": [finished.file, finished.batch], **told_back}

    def _index_of(self, told: dict[str, Any]) -> Index:
        # Where the mini-batches of a file begin is sent once, before its first.
        if "offsets" in told:
            self._index = Index(told["file"], told["rows"], tuple(told["offsets"]))
        assert self._index is not None
        return self._index

    def _reader(self, index: Index) -> ParquetRows | TextRows:
        if self._open is None or self._open[0] != index.file:
            path = self._order.path_of(index.file)
            self._open = (index.file, open_file(path, index, self._order.mini_batch))
        return self._open[1]

    def _write(self, folder: str, name: str, table: pa.Table | None) -> Any:
        if table is None:
            return None
        return write_part(self._work / folder, name, to_parquet(table), table.num_rows)


def main() -> int:
    """Answer until there is nothing more to read; return the exit code."""
    leave_path()
    order_path, work, name, fd_in, fd_out = sys.argv[1:]
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    worker = Worker(read_order(Path(order_path)), Path(work), name)
    with os.fdopen(int(fd_in), "rb") as told, os.fdopen(int(fd_out), "wb", buffering=0) as said:
        for line in told:
            said.write(json.dumps(_answer(worker, json.loads(line))).encode() + b"\n")
    return 0


def _answer(worker: Worker, told: dict[str, Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = getattr(worker, told["do"])(told)
        return answer
    except TooManyErrors as err:
        return {"too_many": str(err)}
    except Hopeless as err:
        return {"hopeless": str(err)}
    except (Exception, SystemExit) as err:  # noqa: BLE001 - the model's own code may raise anything
        traceback.print_exc()
        said = f"{type(err).__name__}: {' '.join(str(err).split())}"[:1000]
        # What does not load now does not load the next time either.
        return {"hopeless" if told["do"] == "load" else "failed": said}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        code = main()
        sys.stdout.flush()
        # Threads that the model left behind must not keep a worker alive that is done.
        os._exit(code)
