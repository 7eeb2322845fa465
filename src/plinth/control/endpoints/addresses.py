"""Look up what the names of external models lead to; refuse this machine and its own network.

Whoever may apply a file would otherwise reach, through the gateway, what only this machine may:
its own services, its neighbours, a cloud's metadata. An operator may allow it; Plinth's own gateway
and a cloud's metadata are refused even then.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

from plinth.domain.address import (
    Address,
    check_not_ourselves,
    check_written,
    host_of,
    is_local,
    is_this_machine,
    literal,
    port_of,
    refuse_metadata,
    refuse_ourselves,
    refuse_private,
)
from plinth.kit.errors import Invalid, Temporary
from plinth.kit.excerpt import excerpt

# Returns the IP addresses of a host's name. Raises OSError where it has none.
Resolve: TypeAlias = Callable[[str], Sequence[str]]

_RESOLVE_S = 5.0
# Where the answer only warns, nobody waits for it as long.
_WARN_S = 2.0


def check_address(
    url: str,
    *,
    where: str,
    is_secret: bool,
    allow_private: bool = False,
    resolve: Resolve | None = None,
) -> str | None:
    """Return if the gateway may send requests to `url`; `where`: its field in the file.

    Asks the name service and waits for it some seconds. `is_secret`: a credential goes along.
    Raises Invalid with how to allow what is refused, Temporary when names cannot be resolved now.
    With `allow_private` only a cloud's metadata is refused, and a name that cannot be resolved is
    a warning, which is returned. A name may lead elsewhere later: it is only checked here.
    """
    check_written(url, where=where, is_secret=is_secret, allow_private=allow_private)
    host = host_of(url)
    if literal(host) is not None or is_local(host):
        return None
    wait_s = _WARN_S if allow_private else _RESOLVE_S
    try:
        found = _resolved(host, where, resolve or _ask_system, wait_s)
    except (Invalid, Temporary) as err:
        # A server of one's own network may get its name later.
        if allow_private:
            return f"{err.message}; the gateway looks it up again, and requests fail until then"
        raise
    addresses = [each for each in found if each is not None]
    for address in addresses:
        refuse_metadata(host, address, where=where)
    for address in () if allow_private else addresses:
        refuse_private(host, address, where=where)
    return None


def check_no_way_back(url: str, port: int, *, where: str, resolve: Resolve | None = None) -> None:
    """Raise Invalid when an address is that of this Plinth's own gateway, also by a name.

    `port`: the gateway's. The name service is asked only where the port is the same. What it does
    not answer now is let pass: the gateway notices a request that comes back.
    """
    check_not_ourselves(url, port, where=where)
    host = host_of(url)
    if port_of(url) != port or literal(host) is not None or is_local(host):
        return
    try:
        found = _resolved(host, where, resolve or _ask_system, _RESOLVE_S)
    except (Invalid, Temporary):
        return
    if any(address is not None and is_this_machine(address) for address in found):
        refuse_ourselves(url, port, where=where)


def _resolved(host: str, where: str, resolve: Resolve, wait_s: float) -> list[Address | None]:
    answers: queue.Queue[Sequence[str] | OSError] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(resolve(host))
        except OSError as err:
            answers.put(err)

    # The system's own call has no time limit; a thread that is left behind ends by itself.
    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=wait_s)
    except queue.Empty as err:
        raise Temporary(
            f"`{where}`: the name service did not say within {wait_s:.0f} s what "
            f"`{excerpt(host)}` is",
            hint="apply the file again in a moment",
        ) from err
    if isinstance(answer, OSError):
        if isinstance(answer, socket.gaierror) and answer.errno == socket.EAI_AGAIN:
            raise Temporary(
                f"`{where}`: the name service does not answer, so `{excerpt(host)}` cannot be "
                "checked",
                hint="apply the file again in a moment",
            ) from answer
        raise Invalid(
            f"`{where}`: no host has the name `{excerpt(host)}`", hint="check how it is spelled"
        ) from answer
    return [literal(each.partition("%")[0]) for each in answer]


def _ask_system(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({str(each[4][0]) for each in found})
