"""Start JupyterLab: it asks for no token (the gateway knows who comes) and believes no cookie.

What it writes about notebooks' kernels goes to `JUPYTER_RUNTIME_DIR`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .lab import start
from .options import leave_path, parse
from .ports import take_from


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until told to stop."""
    options = parse("jupyter", arguments)
    leave_path()
    if options.ports is not None:
        take_from(options.ports)
    start(options.root, options.fd, transport=options.transport)


if __name__ == "__main__":
    main()
