"""The bare loop beside which batch inference is measured: pyarrow, onnxruntime, two processes.

`python batch_bare.py IN OUT MODEL ROWS WORKERS`. What a careful person writes in an afternoon:
nothing is checked, and a crash loses what a file had.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any


def answer(task: tuple[str, str, str, int]) -> int:
    """Answer one file; return its rows."""
    source, target, form_path, size = task
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    arrow.set_cpu_count(1)
    form = json.loads((Path(form_path) / "form.json").read_text())
    session = _session(Path(form_path) / "model.onnx")
    rows, writer = 0, None
    file = parquet.ParquetFile(source)
    for batch in file.iter_batches(size, columns=["id", *form["types"]], use_threads=False):
        feed = {name: _column(batch[name], kind) for name, kind in form["types"].items()}
        answers = session.run([form["output"]], feed)[0]
        columns = {f"prediction_{at}": answers[:, at] for at in range(answers.shape[1])}
        table = arrow.table({"id": batch["id"], **columns})
        if writer is None:
            writer = parquet.ParquetWriter(target, table.schema, compression="zstd")
        writer.write_table(table)
        rows += table.num_rows
    if writer is not None:
        writer.close()
    return rows


_SESSIONS: dict[Path, Any] = {}


def _session(path: Path) -> Any:
    if path not in _SESSIONS:
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        _SESSIONS[path] = runtime.InferenceSession(str(path), options)
    return _SESSIONS[path]


def _column(array: Any, kind: str) -> Any:
    values = array.to_numpy(zero_copy_only=False)
    return values.astype(object if kind == "string" else "float32").reshape(-1, 1)


def main() -> None:
    """Answer all files."""
    source, target, form, size, workers = sys.argv[1:]
    Path(target).mkdir()
    tasks = [
        (str(path), str(Path(target) / path.name), form, int(size))
        for path in sorted(Path(source).iterdir())
    ]
    with multiprocessing.get_context("spawn").Pool(int(workers)) as pool:
        rows = sum(pool.imap_unordered(answer, tasks))
        pool.close()
        pool.join()
    print(rows)


if __name__ == "__main__":
    main()
