"""Which model server runs on which platform with which model format, asked from either side.

Rules and the reference page call `servers_for` and `platforms_for`. The facts stand in
`servers.yaml`; a pair that does not stand there is unknown, never a silent no.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

from pydantic import Field, field_validator

from plinth.catalog.machine import LOCAL
from plinth.catalog.platforms import PlatformFacts
from plinth.domain.base import Declared, Name
from plinth.domain.load import load_as
from plinth.domain.mistake import nearest_name
from plinth.domain.platform import Facts, Maturity, ModelFormat, Text
from plinth.kit.errors import NotFound

FILE = "servers.yaml"
# What stands for the server of a platform that brings one and lets nobody choose.
OWN_SERVER = "its own server"
Kind: TypeAlias = Literal[
    "model-server", "library", "control-layer", "flow-server", "app-framework"
]


class Host(Facts):
    """One platform that a server runs on, or does not. `formats`: only these, where they stand."""

    platform: Name
    supported: bool
    how: Text
    formats: tuple[ModelFormat, ...] | None = None


class ServerFacts(Declared):
    """One row of the file. `started_by_plinth`: a runtime of Plinth starts it on this machine."""

    name: Name
    kind: Kind
    description: Text
    formats: tuple[ModelFormat, ...]
    protocols: tuple[Text, ...]
    gpu: bool | None = None
    started_by_plinth: bool = False
    source: str = Field(min_length=1)
    checked: date
    runs_on: tuple[Host, ...] = ()
    maturity: Maturity = Maturity()

    @field_validator("runs_on")
    @classmethod
    def _platforms_differ(cls, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
        _refuse_twice([host.platform for host in hosts], "platforms of one server differ")
        return hosts


class ServerFile(Declared):
    """The whole file."""

    servers: tuple[ServerFacts, ...]

    @field_validator("servers")
    @classmethod
    def _names_differ(cls, rows: tuple[ServerFacts, ...]) -> tuple[ServerFacts, ...]:
        _refuse_twice([row.name for row in rows], "names of servers differ")
        return rows


@dataclass(frozen=True, slots=True)
class Match:
    """One server on one platform. `supported` None: nobody has checked it. `why` says it in words.

    `maturity` is the server's, so that one that is archived is seen where it would be chosen.
    """

    server: str
    platform: str
    supported: bool | None
    why: str
    source: str | None
    maturity: Maturity


def load_servers() -> tuple[ServerFacts, ...]:
    """Return every server of the file, in its order. Raises LoadError when it has a mistake."""
    return _servers()


def read_servers(content: bytes, file: str = FILE) -> tuple[ServerFacts, ...]:
    """Read a servers file. Raises LoadError with every mistake in it."""
    return load_as(ServerFile, content, file, quick=True).servers


def find_server(servers: Iterable[ServerFacts], name: str) -> ServerFacts:
    """Return the server `name`. Raises NotFound naming the nearest."""
    known = {server.name: server for server in servers}
    if name in known:
        return known[name]
    near = nearest_name(name, tuple(known))
    raise NotFound(
        f"there is no model server `{name}`" + (f"; did you mean `{near}`?" if near else ""),
        hint=f"known are {', '.join(f'`{each}`' for each in sorted(known))}",
    )


def servers_for(
    servers: Iterable[ServerFacts], platform: PlatformFacts, model_format: str | None = None
) -> tuple[Match, ...]:
    """Return what can serve a model on a platform: what can first, what nobody knows, what cannot.

    `model_format` None asks for every format. Where the platform brings its own server, that one
    is the only answer that can be yes.
    """
    found = [match_of(server, platform, model_format) for server in servers]
    if platform.control.server_choice is False:
        found.append(_own_server(platform, model_format))
    return _ranked(found)


def platforms_for(
    server: ServerFacts, platforms: Iterable[PlatformFacts], model_format: str | None = None
) -> tuple[Match, ...]:
    """Return where a server runs: where it does first, where nobody knows, where it does not."""
    return _ranked(match_of(server, platform, model_format) for platform in platforms)


def match_of(server: ServerFacts, platform: PlatformFacts, model_format: str | None) -> Match:
    """Tell whether a server runs on a platform, with a model of the format if one is given."""
    host = next((each for each in server.runs_on if each.platform == platform.name), None)
    source = host.source if host else None
    supported, why = _answer(server, host, platform)
    formats = host.formats if host and host.formats is not None else server.formats
    if supported is not False and model_format is not None and model_format not in formats:
        supported, why = False, f"takes {_listed(formats)}, not `{model_format}`"
    return Match(server.name, platform.name, supported, why, source, server.maturity)


def _answer(
    server: ServerFacts, host: Host | None, platform: PlatformFacts
) -> tuple[bool | None, str]:
    if host is not None:
        return host.supported, host.how
    if platform.control.server_choice is False:
        return False, "the platform brings its own server"
    if platform.name == LOCAL and not server.started_by_plinth:
        return False, "no runtime of Plinth starts it on this machine yet"
    if not {"online", "flow"} & set(platform.functions):
        return False, "the platform serves no requests"
    return None, "nobody has checked it; a row in servers.yaml would say it"


def _own_server(platform: PlatformFacts, model_format: str | None) -> Match:
    formats, source = platform.control.formats, platform.control.source
    fits: bool | None = model_format is None or model_format in (formats or ())
    why = f"takes {_listed(formats or ())}" + ("" if fits else f", not `{model_format}`")
    if formats is None:
        fits, why = None, "which formats it takes is unknown"
    elif not formats:
        fits, why = False, "it takes no model of yours"
    return Match(OWN_SERVER, platform.name, fits, why, source, platform.maturity)


def _ranked(found: Iterable[Match]) -> tuple[Match, ...]:
    order = (True, None, False)
    return tuple(sorted(found, key=lambda match: order.index(match.supported)))


@cache
def _servers() -> tuple[ServerFacts, ...]:
    return read_servers(resources.files("plinth.catalog").joinpath(FILE).read_bytes())


def _refuse_twice(names: list[str], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"`{twice[0]}` stands twice; {what}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
