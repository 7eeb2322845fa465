"""Take the folder of this package off the import path, so that it shadows no module of a model."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def leave_path() -> None:
    """Do it for this process and for those that it starts; the package knows its own place."""
    folder = str(Path(__file__).resolve().parent.parent)
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != folder]
    kept = [part for part in os.environ.pop("PYTHONPATH", "").split(os.pathsep) if part]
    kept = [part for part in kept if os.path.realpath(part) != folder]
    if kept:
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
