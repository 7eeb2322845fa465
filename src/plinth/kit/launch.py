"""Start one of Plinth's own processes: `python -m plinth.kit.launch MODULE ARGUMENT ...`.

Nearly all that imports make stays until the process ends. Searching it for garbage while it is
made takes a quarter of a start's CPU time, so that begins afterwards, and leaves out what was made
until then (docs/decisions/0019-start-without-collecting-garbage.md).
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module


def main() -> None:
    """Import the module that is named first and call its `main` with the other arguments."""
    gc.disable()
    module = import_module(sys.argv[1])
    gc.freeze()
    gc.enable()
    sys.exit(module.main(sys.argv[2:]))


if __name__ == "__main__":
    main()
