"""One line per event, to standard error, with the time in UTC."""

from __future__ import annotations

import logging
import sys
import time


def set_up(level: str = "INFO") -> None:
    """Send every logger's lines to standard error; called once, by a process's entry point."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
