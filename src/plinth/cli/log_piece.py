"""Print a piece of a log, and say what of it is not kept any more."""

from __future__ import annotations

import sys

from plinth.cli.output import note
from plinth.kit.units import format_bytes

# What is kept at least of a long log; the room of the node agent's knows the same number.
KEPT_BYTES = 32 * 2**20


def print_piece(content: bytes, offset: int, following: int) -> None:
    """Print what came for byte `offset`, up to byte `following`.

    When there are fewer bytes than that, the oldest were given back to the disk: it is said on
    stderr, and the first line printed is a whole one.
    """
    gone = following - offset - len(content)
    if content and gone > 0:
        whole = content.partition(b"\n")[2]
        if whole:
            gone, content = gone + len(content) - len(whole), whole
        note(
            f"note: {format_bytes(gone)} before this are not kept: of a long log only the end is, "
            f"at least {format_bytes(KEPT_BYTES)}"
        )
    sys.stdout.buffer.write(content)
    sys.stdout.flush()
