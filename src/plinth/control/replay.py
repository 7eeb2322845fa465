"""Prove the ledger: read every source that is kept once more, and compare.

`python -m plinth.control.replay --home DIR`, while Plinth runs or not. Changes nothing: the second
ledger is a temporary file. Prints one JSON object; exit code 1 when the two differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from plinth.control.metering import logs_of, spans_of
from plinth.kit.errors import PlinthError
from plinth.kit.home import Home, find_home
from plinth.kit.settings import load_settings
from plinth.metering.ledger import Ledger
from plinth.metering.replay import replay
from plinth.store.session import Database


@dataclass(frozen=True, slots=True)
class Compared:
    """How the ledger compares with a new reading of its sources, in lines of its dump.

    `same`: in both. `only_ledger`: of sources that are kept, but not found again: should be 0.
    `only_sources`: not in the ledger; what came in the last second while Plinth runs.
    `not_kept`: of sources that are no longer kept, so that nobody can compare them.
    """

    same: int
    only_ledger: int
    only_sources: int
    not_kept: int

    @property
    def is_proven(self) -> bool:
        """Tell whether everything in the ledger that can be read again was found again."""
        return self.only_ledger == 0


def compare(home: Home, database: Database) -> Compared:
    """Read the sources of `home` into a second ledger and compare it with the first."""
    with closing(Ledger(home.ledger)) as ledger:
        before = set(ledger.dump().splitlines())
    with database.read() as connection:
        spans = spans_of(connection, home)
    with (
        tempfile.TemporaryDirectory(prefix="pl-") as folder,
        closing(Ledger(Path(folder) / "ledger.db")) as again,
    ):
        replay(again, logs_of(home), spans)
        found = set(again.dump().splitlines())
    kept = {_source(line) for line in found}
    # How many lines are unreadable is a sum, which grows.
    missing = [line for line in before - found if _kind(line) != "unreadable"]
    gone = sum(_source(line) not in kept for line in missing)
    return Compared(
        same=len(before & found),
        only_ledger=len(missing) - gone,
        only_sources=len(found - before),
        not_kept=gone,
    )


def _kind(line: bytes) -> str:
    return str(json.loads(line)[0])


def _source(line: bytes) -> str:
    return str(json.loads(line)[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print. Returns 0 when the ledger is proven, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m plinth.control.replay")
    parser.add_argument("--home", type=Path, required=True)
    home = find_home({}, parser.parse_args(arguments).home)
    try:
        compared = compare(home, Database(load_settings(home.root).database or home.database))
    except PlinthError as err:
        sys.stdout.write(json.dumps(err.to_json()) + "\n")
        return 1
    sys.stdout.write(json.dumps({"proven": compared.is_proven, **asdict(compared)}) + "\n")
    return 0 if compared.is_proven else 1


if __name__ == "__main__":
    sys.exit(main())
