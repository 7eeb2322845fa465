"""Only what a kernel knows is asked of it."""

from __future__ import annotations

from plinth.units.isolation.landlock import ALL, IOCTL_DEV, REFER, TRUNCATE, known_rights


def test_rights_grow_with_the_version() -> None:
    assert known_rights(1) & (REFER | TRUNCATE | IOCTL_DEV) == 0
    assert known_rights(2) & (REFER | TRUNCATE | IOCTL_DEV) == REFER
    assert known_rights(3) & (REFER | TRUNCATE | IOCTL_DEV) == REFER | TRUNCATE
    assert known_rights(4) == known_rights(3)
    assert known_rights(5) == known_rights(99) == ALL
