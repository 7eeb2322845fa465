"""What a secret may be: its size, and the words for one that may not.

The API checks by it what it was sent, the command line what it would send.
"""

from __future__ import annotations

from plinth.kit.errors import Invalid, TooLarge

MOST_SECRET_BYTES = 64 * 1024


def check_secret(value: bytes) -> bytes:
    """Return the value if it can be kept. Raises Invalid when it is empty, TooLarge.

    Neither error repeats any of it. Any bytes are accepted: who uses the value as a header says
    what a header cannot hold.
    """
    if not value:
        raise Invalid("the value is empty; a secret has at least one byte")
    if len(value) > MOST_SECRET_BYTES:
        raise TooLarge(
            f"the value has more than {MOST_SECRET_BYTES:,} bytes, the most that a secret has"
        )
    return value
