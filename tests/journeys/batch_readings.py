"""Read files in mini-batches of several sizes; print what became of each of their rows.

    python batch_readings.py SOURCES FILES SIGNATURE KEEP SIZE...

Started with the Python of a batch's environment; SOURCES has the package `batchrunner`. Prints, by
file and size, for each row its values or `error: WHY`; for a file that is refused, the reason.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sources, folder, signature_json, keep_json, *sizes = sys.argv[1:]
sys.path.insert(0, sources)

from batchrunner.inputs import Signature, check_rows, needed  # noqa: E402
from batchrunner.order import Hopeless, InputFile, Order  # noqa: E402
from batchrunner.reader import index_file, kept_types, open_file  # noqa: E402


def order(keep: list[str]) -> Order:
    """Return an order for all the files, which passes these columns on."""
    files = tuple(InputFile(each.name, "", 0) for each in sorted(Path(folder).iterdir()))
    return Order(folder, files, "", None, None, "auto", tuple(keep), 1, 1, "0", {})


def read(path: Path, size: int) -> Any:
    """Return what became of each row, by its number from 0."""
    signature, keep = Signature.from_json(json.loads(signature_json)), json.loads(keep_json)
    try:
        index = index_file(0, path, size)
        reader = open_file(path, index, size)
        found: dict[int, Any] = {}
        for batch in range(-(-index.rows // size)):
            rows = reader.read(batch, needed(signature, keep, reader.columns))
            checked = check_rows(rows, signature, keep, kept_types(order(keep)))
            columns = {name: array.to_pylist() for name, array in checked.columns.items()}
            others = {name: array.to_pylist() for name, array in checked.kept.items()}
            for at, place in enumerate(checked.places):
                values = {name: str(values[at]) for name, values in columns.items()}
                kept = {name: values[at] for name, values in others.items()}
                assert found.setdefault(int(place), {**values, **kept}) is not None
            for row in checked.bad:
                assert row.place not in found
                found[row.place] = f"error: {row.error}"
    except Hopeless as err:
        return str(err)
    assert sorted(found) == list(range(index.rows))
    return [found[place] for place in range(index.rows)]


told = {
    path.name: {size: read(path, int(size)) for size in sizes}
    for path in sorted(Path(folder).iterdir())
}
print(json.dumps(told))
