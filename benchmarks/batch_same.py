"""Hold that several programs answered the same rows alike: `python batch_same.py FOLDER FOLDER...`.

Run in the environment that wrote them. Each folder holds Parquet files with the columns `id` and
`prediction_...`. Exits with 1 and says where two differ.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

# The same session answers everywhere; what differs is the size of its batches.
_TOLERANCE = 1e-5


def main() -> None:
    """Compare each folder with the first."""
    first, *others = map(Path, sys.argv[1:])
    expected = _read(first)
    for other in others:
        found = _read(other)
        if found.keys() != expected.keys():
            raise SystemExit(f"{other}: has {sorted(found)}, {first}: {sorted(expected)}")
        if found["id"].tolist() != expected["id"].tolist():
            raise SystemExit(f"{other}: {len(found['id'])} rows, {first}: {len(expected['id'])}")
        for name, values in found.items():
            difference = abs(values - expected[name]).max()
            if not difference <= _TOLERANCE:
                raise SystemExit(f"{other}: `{name}` differs from {first} by {difference:g}")


def _read(folder: Path) -> dict[str, Any]:
    """Return the columns that are compared, in the order of the ids."""
    dataset = importlib.import_module("pyarrow.dataset")
    files = sorted(map(str, folder.rglob("*.parquet")))
    known = dataset.dataset(files)
    names = [name for name in known.schema.names if name == "id" or name.startswith("prediction")]
    table = known.to_table(columns=names).sort_by("id")
    return {name: table[name].to_numpy() for name in names}


if __name__ == "__main__":
    main()
