"""Answer a year of flights, in twelve files, by the model that the flights example trained.

    python examples/batch/demo.py FLIGHTS_PARQUET

It needs a running Plinth with the model `flights-delay` of team `research`: `make demo`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLINTH = Path(sys.executable).with_name("plinth")


def score(flights: Path) -> None:
    """Make the files, run the batch, bring the result, and say where it came from."""
    subprocess.run([sys.executable, HERE / "make_months.py", flights, HERE / "months"], check=True)
    subprocess.run([PLINTH, "batch", "run", HERE / "batch.yaml"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "scores"
        subprocess.run([PLINTH, "batch", "output", "score-flights", target], check=True)
    subprocess.run([PLINTH, "lineage", "data", "score-flights", "--team", "research"], check=True)
    shutil.rmtree(HERE / "months")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit((__doc__ or "").strip())
    try:
        score(Path(sys.argv[1]))
    except subprocess.CalledProcessError as err:
        name = Path(str(err.cmd[0])).name
        raise SystemExit(f"error: `{name}` ended with {err.returncode}; see above") from err
