"""Put this process at an isolation level, right before it becomes a job.

0 nothing · 1 no new privileges, no capabilities · 2 files, TCP ports, signals and abstract sockets
limited by landlock, no Unix sockets and no dangerous system calls · 3 the same with Unix sockets,
in a file system that holds only what it may use. A level is reached whole or not at all.
"""

from __future__ import annotations

from plinth.units.isolation import capabilities, landlock, layout, mounts, seccomp
from plinth.units.spec import Confinement

NOTHING, UNPRIVILEGED, FILES, OWN_FILES = 0, 1, 2, 3


def confine(
    level: int,
    confinement: Confinement,
    *,
    serves: bool = False,
    memory_bytes: int | None = None,
) -> None:
    """Reach `level` or raise OSError; there is no way back. The process must be about to exec.

    `serves`: it was given a listening socket. `memory_bytes`: the most that its own places in
    memory may hold each.
    """
    if level <= NOTHING:
        return
    write = confinement.write
    read = (*layout.readable(), *confinement.read)
    if level >= OWN_FILES:
        mounts.enter(read, write, memory_bytes)
    capabilities.drop_all()
    capabilities.forbid_new_privileges()
    if level < FILES:
        return
    rules = landlock.Rules(
        confinement.connect_ports, confinement.refuse_ports, confinement.own_ports
    )
    rules.allow(read, landlock.READ)
    rules.allow(layout.devices(), landlock.DEVICE | landlock.READ_DIR)
    rules.allow((layout.SHARED_MEMORY, *write), landlock.ALL)
    if level >= OWN_FILES:
        rules.allow((layout.TEMPORARY,), landlock.ALL)
        # They are its own there; below, the machine's would be.
        rules.allow((layout.PSEUDO_TERMINALS,), landlock.DEVICE | landlock.READ_DIR)
    rules.enforce()
    seccomp.enforce_for_this_machine(
        unix=level >= OWN_FILES,
        any_network=confinement.connect_ports is None,
        serves=serves,
    )
