"""Run one batch: `python -m batchrunner --order FILE --work FOLDER`.

Exit codes: 0 done, 1 worth another attempt, 3 hopeless (the last line on stderr says why).
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from .order import HOPELESS, Hopeless, read_order
from .runner import Runner


def main() -> int:
    """Bring the run to its end; return the exit code."""
    parser = argparse.ArgumentParser(prog="batchrunner", description=__doc__)
    parser.add_argument("--order", required=True, type=Path, help="what is to be done, as JSON")
    parser.add_argument("--work", required=True, type=Path, help="the folder of the run")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    runner = Runner(read_order(options.order), options.order, options.work)
    try:
        runner.run()
    except Hopeless as err:
        print(f"error: {err}", file=sys.stderr, flush=True)  # noqa: T201 - shown as the reason
        return HOPELESS
    return 0


def _stop(number: int, _frame: Any) -> None:
    # Workers are ended on the way out; what they finished is written.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    raise SystemExit(main())
