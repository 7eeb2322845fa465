"""The platforms that plans consider: reviewed facts from `platforms.yaml`, live facts merged in.

The command line and the control service call `load_platforms`. A wrong row of the file is refused
with its line, and nothing is half loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from importlib import resources

from pydantic import Field, field_validator

from plinth.catalog.machine import LOCAL
from plinth.domain.base import Declared, Name
from plinth.domain.load import load_as
from plinth.domain.platform import Capability, Offer, Platform
from plinth.domain.resources import Accelerator

FILE = "platforms.yaml"


class PlatformFacts(Declared):
    """One row of the file: what does not change from machine to machine. None: unknown."""

    name: Name
    description: str
    functions: tuple[str, ...]
    scale_to_zero: bool | None = None
    interruptible: bool | None = None
    networks: tuple[str, ...] | None = None
    accelerators: tuple[Accelerator, ...] = ()
    source: str = Field(min_length=1)
    checked: date


class PlatformFile(Declared):
    """The whole file."""

    platforms: tuple[PlatformFacts, ...]

    @field_validator("platforms")
    @classmethod
    def _names_differ(cls, rows: tuple[PlatformFacts, ...]) -> tuple[PlatformFacts, ...]:
        names = [row.name for row in rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"`{twice[0]}` stands twice; names of platforms differ")
        return rows


def load_platforms(
    local_offers: Iterable[Offer],
    local_isolation: int | None,
    *,
    local_networks: tuple[str, ...] | None = None,
) -> tuple[Platform, ...]:
    """Return every platform of the file, the local one with what was seen of this machine.

    `local_isolation`: the level that was probed, None when nobody probed. `local_networks`: the
    kinds of a job's network that this machine can hold a job to, None when nobody probed.
    Raises LoadError when the file has a mistake.
    """
    live = Capability(
        functions=(),
        isolation=local_isolation,
        networks=local_networks,
    )
    return tuple(
        _platform(facts, tuple(local_offers) if facts.name == LOCAL else (), live)
        for facts in read_facts(resources.files("plinth.catalog").joinpath(FILE).read_bytes())
    )


def read_facts(content: bytes, file: str = FILE) -> tuple[PlatformFacts, ...]:
    """Read the rows of a platforms file. Raises LoadError with every mistake in it."""
    return load_as(PlatformFile, content, file).platforms


def _platform(facts: PlatformFacts, offers: tuple[Offer, ...], live: Capability) -> Platform:
    is_local = facts.name == LOCAL
    return Platform(
        name=facts.name,
        description=facts.description,
        capability=Capability(
            functions=facts.functions,
            isolation=live.isolation if is_local else None,
            scale_to_zero=facts.scale_to_zero,
            interruptible=facts.interruptible,
            networks=live.networks if is_local else facts.networks,
            accelerators=facts.accelerators,
        ),
        offers=offers,
        source=f"{facts.source} ({facts.checked.isoformat()})",
    )
