"""What the agent is asked to run, and what it says of it; both travel as JSON.

Used by the agent, its supervisors and its clients. Must stay free of third-party imports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar, cast

from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt
from plinth.kit.home import SOCKET_PATH_BYTES

Restart = Literal["never", "always"]
Phase = Literal["starting", "running", "exited", "lost"]

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_LONGEST_GRACE_S = 86400.0
MOST_WORKERS = 64
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Confinement:
    """What an untrusted unit may touch, beyond the system's own folders.

    `minimum_level`: the lowest isolation that is acceptable; None takes what the node has.
    `connect_ports`: TCP ports it may connect to, on any host; None does not limit the network.
    With ports given it may open no other kind of network socket and listen on no port that it
    chooses. At level 3, and at level 2 with a `socket`, it may still listen on one that the
    kernel chooses. The ports need level 2 and landlock's fourth ABI.
    `own_ports`: TCP ports that it may listen on and connect to, whatever else it may not.
    `refuse_ports`: TCP ports that it may never listen on, not even with a free network: another's
    server may be away for a moment. Then it listens on ports 20000 to 29999, or where the kernel
    chooses.
    """

    minimum_level: int | None = None
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    connect_ports: tuple[int, ...] | None = None
    refuse_ports: tuple[int, ...] = ()
    own_ports: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Confinement:
        """Read what `to_json` wrote. Raises Invalid."""
        ports = value.get("connect_ports")
        try:
            return cls(
                minimum_level=value.get("minimum_level"),
                read=tuple(map(str, value.get("read", ()))),
                write=tuple(map(str, value.get("write", ()))),
                connect_ports=None if ports is None else tuple(map(int, ports)),
                refuse_ports=tuple(map(int, value.get("refuse_ports", ()))),
                own_ports=tuple(map(int, value.get("own_ports", ()))),
            )
        except (TypeError, ValueError, AttributeError) as err:
            raise Invalid(f"`{value!r}` is not a confinement: {err}") from err


@dataclass(frozen=True, slots=True)
class Elastic:
    """How many processes of the unit's command, its workers, share its socket (see `workers.py`).

    As many as what waits in the socket asks for: `least` to `most`. `start_s`: how long one may
    take until it takes connections.
    """

    least: int
    most: int
    start_s: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what cannot be. Raises Invalid."""
        if not 0 <= self.least <= self.most or not 1 <= self.most <= MOST_WORKERS:
            raise Invalid(
                f"{self.least} to {self.most} workers cannot be; from 0, and up to {MOST_WORKERS}, "
                "are accepted"
            )
        if self.start_s <= 0:
            raise Invalid(f"a worker cannot start in {self.start_s} s")


@dataclass(frozen=True, slots=True)
class UnitSpec:
    """One process tree to run.

    `env` is its complete environment. `socket`: a Unix socket that is bound for it and passed as
    file descriptor 3. `confinement` None: a trusted unit of the system, not confined.
    `memory_bytes` limits each process's private memory; None is no limit. `signs`: files that it
    writes to, whose last change shows that it lived then. `elastic`: the command runs as often as
    its socket asks for; None: once.
    """

    id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    socket: str | None = None
    restart: Restart = "never"
    grace_s: float = 10.0
    memory_bytes: int | None = None
    confinement: Confinement | None = None
    signs: tuple[str, ...] = ()
    elastic: Elastic | None = None

    def __post_init__(self) -> None:
        """Refuse what could never be started. Raises Invalid."""
        check_id(self.id)
        if not self.argv:
            raise Invalid(f"unit `{self.id}` has no command")
        if self.restart not in ("never", "always"):
            raise Invalid(f"restart `{self.restart}` is not one of `never`, `always`")
        check_grace(self.grace_s)
        if not self.cwd.startswith("/"):
            raise Invalid(f"the work folder `{self.cwd}` is not an absolute path")
        if self.socket is not None and len(self.socket.encode()) > SOCKET_PATH_BYTES:
            raise Invalid(
                f"the socket `{self.socket}` has more than {SOCKET_PATH_BYTES} bytes",
                hint="choose a shorter home: `plinth up --home DIR`",
            )
        if self.elastic is not None and (self.socket is None or self.restart != "never"):
            raise Invalid(f"unit `{self.id}` is elastic: it needs a socket, and ends for good")

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "env": dict(self.env)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> UnitSpec:
        """Read what `to_json` wrote. Raises Invalid."""
        known = _pick(cls, value)
        try:
            known["argv"] = tuple(map(str, known["argv"]))
            known["signs"] = tuple(map(str, known.get("signs", ())))
            known["env"] = {str(key): str(item) for key, item in known["env"].items()}
            known["grace_s"] = float(known.get("grace_s", 10.0))
            if known.get("confinement") is not None:
                known["confinement"] = Confinement.from_json(known["confinement"])
            if known.get("elastic") is not None:
                known["elastic"] = Elastic(**_pick(Elastic, known["elastic"]))
            return cls(**known)
        except (TypeError, ValueError, AttributeError, KeyError) as err:
            raise Invalid(f"this is not a unit: {err}") from err


@dataclass(frozen=True, slots=True)
class UnitState:
    """What is seen of a unit.

    `pid` is the main process. `exit_code` is 128 + the signal when a signal ended it. `isolation`
    is the level it runs at, None for a trusted unit. `memory_bytes` is measured on request only.
    `age_s`: for how long a running one has run, by a clock that nobody can set.
    A unit that will start again is `starting`, with the reason of its last end. `workers`: how
    many run of one that is elastic and runs; then `pid` is the first of them, None while it sleeps.
    """

    id: str
    phase: Phase
    pid: int | None = None
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None
    stopped: bool = False
    reason: str | None = None
    restarts: int = 0
    memory_bytes: int | None = None
    isolation: int | None = None
    age_s: float | None = None
    workers: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> UnitState:
        """Read what `to_json` wrote."""
        return cls(**_pick(cls, value))


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """The agent that answers: who it is and what its node can do."""

    pid: int
    boot_id: str
    node: str
    isolation_level: int
    started_at: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NodeInfo:
        """Read what `to_json` wrote."""
        return cls(**_pick(cls, value))


def check_id(unit: str) -> str:
    """Return `unit` if it can name a folder. Raises Invalid."""
    if not _ID.fullmatch(unit):
        raise Invalid(
            f"`{excerpt(unit)}` is not a unit's id: letters, digits, `_`, `.`, `-`, at most 100"
        )
    return unit


def check_grace(grace_s: float) -> float:
    """Return the seconds between SIGTERM and SIGKILL if they are a time. Raises Invalid."""
    if not 0.0 <= grace_s <= _LONGEST_GRACE_S:
        raise Invalid(f"a grace of {grace_s} s is not between 0 and {_LONGEST_GRACE_S:.0f} s")
    return grace_s


def attempt_of(unit: str) -> tuple[str, int] | None:
    """Take `r_abc.0.2` apart into (`r_abc.0`, 2); None when the id names no attempt."""
    stem, dot, number = unit.rpartition(".")
    return (stem, int(number)) if dot and number.isascii() and number.isdigit() else None


def _pick(cls: type[_T], value: Mapping[str, Any]) -> dict[str, Any]:
    # A newer release may have written more fields than this one knows.
    names = {field.name for field in fields(cast(Any, cls))}
    return {key: item for key, item in value.items() if key in names}
