"""How a workspace's tool is started: `python -m notebookhost.TOOL --root DIR [--fd 3] ...`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def parse(program: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; `ports` is a range, or None."""
    parser = argparse.ArgumentParser(prog=f"python -m notebookhost.{program}")
    parser.add_argument("--root", type=Path, required=True, help="the folder that it shows")
    parser.add_argument("--fd", type=int, default=3, help="the socket to listen on")
    parser.add_argument(
        "--transport", choices=("ipc", "tcp"), default="tcp", help="how kernels are spoken to"
    )
    parser.add_argument(
        "--ports", type=_ports, help="FIRST-LAST: where kernels may listen; without it, anywhere"
    )
    return parser.parse_args(arguments)


def leave_path() -> None:
    """Keep this folder from what notebooks import: they run in processes that the tool starts."""
    folder = str(Path(__file__).parent.parent)
    sys.path[:] = [each for each in sys.path if each != folder]
    os.environ.pop("PYTHONPATH", None)


def _ports(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last) + 1)
