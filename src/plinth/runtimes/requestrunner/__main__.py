"""Start it: `python -m requestrunner --input FILE --folder DIR --requests N --at-once N`.

The gateway's address, the key and the caller's name come as PLINTH_ADDRESS, PLINTH_KEY and
PLINTH_SENDER. Exit codes: 0 when every request has a result, 1 when something is in the way (the
last line on stderr says what), 2 for wrong arguments, 143 when it was stopped before.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .journal import NAME, AlreadyOpen, Journal
from .sender import Sender
from .source import read_requests
from .work import Work

log = logging.getLogger("requestrunner")
_IN_THE_WAY, _STOPPED = 1, 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Send what has no result yet; return the exit code."""
    options = _parse(arguments)
    logging.basicConfig(
        level="INFO", format="%(asctime)s %(message)s", stream=sys.stdout, force=True
    )
    try:
        journal = Journal(options.folder / NAME)
    except AlreadyOpen:
        return _say("another process is sending these requests")
    except (OSError, ValueError) as err:
        return _say(f"the journal cannot be read: {err}")
    log.info("%d of %d requests have a result", len(journal.done), options.requests)
    variables = os.environ

    def sender() -> Sender:
        return Sender(
            variables["PLINTH_ADDRESS"], variables["PLINTH_KEY"], variables["PLINTH_SENDER"]
        )

    requests = read_requests(options.input, frozenset(journal.done))
    work = Work(requests, journal, sender, at_once=options.at_once)

    def stop(_number: int, _frame: Any) -> None:
        work.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    is_whole = work.run(options.folder, options.requests, patience_s=options.patience_s)
    log.info("%d went well, %d did not", journal.completed, journal.failed)
    journal.sync()
    if work.failure is not None:
        return _say(work.failure)
    if work.key_is_gone:
        return _say("the key does not count any more")
    return 0 if is_whole else _STOPPED


def _say(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr, flush=True)  # noqa: T201 - it is shown to people
    return _IN_THE_WAY


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="requestrunner", description=__doc__)
    parser.add_argument("--input", required=True, type=Path, help="the file of requests")
    parser.add_argument("--folder", required=True, type=Path, help="where the results are kept")
    parser.add_argument("--requests", required=True, type=int, help="how many there are")
    parser.add_argument("--at-once", required=True, type=int, help="the most under way at once")
    parser.add_argument("--patience-s", type=float, default=15.0, help="to finish on SIGTERM")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    exit_code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a thread that waits for an answer must not keep it alive.
    os._exit(exit_code)
