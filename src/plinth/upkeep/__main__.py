"""What `plinth backup`, `restore`, `upgrade` and `doctor` execute: `python -m plinth.upkeep VERB`.

Prints one JSON object a line: `{"progress": ...}` any number of times, then the answer or the
error in its one shape.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plinth.kit.errors import PlinthError
from plinth.kit.home import find_home
from plinth.upkeep.backup import back_up
from plinth.upkeep.doctor import examine
from plinth.upkeep.restore import restore
from plinth.upkeep.upgrade import upgrade

Json = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked. Returns 0, or 1 with the error on standard output."""
    asked = _parser().parse_args(arguments)
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    try:
        answer = _do(asked)
    except PlinthError as err:
        _say({**err.to_json(), "status": err.status})
        return 1
    except BrokenPipeError:
        # Who asked was killed: what was begun has been cleaned up, and nobody listens.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 130
    except OSError as err:
        # A file that cannot be read or written: its name is all that helps.
        failure = PlinthError(f"`{err.filename or 'a file'}`: {err.strerror or err}")
        _say({**failure.to_json(), "status": failure.status})
        return 1
    except KeyboardInterrupt:
        return 130
    _say(answer)
    return 0


def _do(asked: argparse.Namespace) -> Json:
    home = find_home({}, asked.home)
    if asked.verb == "backup":
        return back_up(home, asked.file, force=asked.force, report=_report)
    if asked.verb == "restore":
        return restore(home, asked.file, report=_report)
    if asked.verb == "upgrade":
        return upgrade(home, file=asked.backup, backup=not asked.no_backup, report=_report)
    return examine(home, report=_report)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m plinth.upkeep")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("backup", "restore", "upgrade", "doctor"):
        verb = verbs.add_parser(name)
        verb.add_argument("--home", type=Path, required=True)
        if name in ("backup", "restore"):
            verb.add_argument("file", type=Path)
        if name == "backup":
            verb.add_argument("--force", action="store_true")
        if name == "upgrade":
            verb.add_argument("--backup", type=Path)
            verb.add_argument("--no-backup", action="store_true")
    return parser


def _interrupt_once(_number: int, _frame: object) -> None:
    """Clean up and end; whoever asks again must not interrupt the cleaning."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _report(step: str, done: int, total: int) -> None:
    _say({"progress": {"step": step, "done": done, "total": total}})


def _say(value: Json) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
