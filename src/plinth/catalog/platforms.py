"""The platforms that Plinth knows: reviewed facts from `platforms/`, live facts merged in.

The command line and the control service call `load_platforms`, which reads only the platforms that
have something to offer; `load_facts` reads all. A wrong row is refused with its file and line, and
nothing is half loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

from pydantic import Field, field_validator

from plinth.catalog.machine import LOCAL
from plinth.catalog.table import Source
from plinth.domain.base import Declared, Name
from plinth.domain.load import LoadError, load_as
from plinth.domain.mistake import Mistake, nearest_name
from plinth.domain.platform import (
    Capability,
    FactGroups,
    Facts,
    Function,
    Offer,
    Platform,
)
from plinth.domain.resources import Accelerator
from plinth.kit.errors import NotFound

FILE = "platforms.yaml"
FOLDER = "platforms"
_SUFFIX = ".yaml"
# What several platforms are faces of: one workspace, one account, one network to look after.
_SYSTEMS = ("azureml", "azure-openai", "databricks", "foundry", "synapse")
F = TypeVar("F", bound=FactGroups)


class PlatformFacts(FactGroups):
    """One row of a file: what does not change from machine to machine. None: unknown.

    `source` and `checked` are those of the facts that stand in the row itself; each group of
    further facts has its own.
    """

    name: Name
    description: str
    functions: tuple[Function, ...]
    scale_to_zero: bool | None = None
    interruptible: bool | None = None
    networks: tuple[str, ...] | None = None
    accelerators: tuple[Accelerator, ...] = ()
    source: str = Field(min_length=1)
    checked: date

    @property
    def groups(self) -> Mapping[str, Facts]:
        """Every group of facts by its name, also those of which nothing is known."""
        return {name: getattr(self, name) for name in GROUPS}


# Group -> the type of its facts, in the order in which people read them.
GROUPS: Mapping[str, type[Facts]] = {
    name: field.annotation
    for name, field in PlatformFacts.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Facts)
}


class PlatformFile(Declared):
    """A whole file."""

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
    others: Mapping[str, Iterable[Offer]] | None = None,
) -> tuple[Platform, ...]:
    """Return what may be planned on: the local platform with what was seen of this machine.

    `local_isolation`: the level that was probed, None when nobody probed. `local_networks`: the
    kinds of a job's network that this machine can hold a job to, None when nobody probed.
    `others`: further platforms by name with what they offer, which may be nothing.
    Raises LoadError when a file has a mistake, NotFound for a name that no platform has.
    """
    live = Capability(functions=(), isolation=local_isolation, networks=local_networks)
    local = _platform(find_facts(LOCAL), tuple(local_offers), live)
    named = sorted(item for item in (others or {}).items() if item[0] != LOCAL)
    return (local, *(_platform(find_facts(name), tuple(offers)) for name, offers in named))


@cache
def platform_names() -> tuple[str, ...]:
    """Return the name of every platform that Plinth knows, sorted; opens no file."""
    names = (each.name for each in _folder().iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def system_of(platform: str) -> str:
    """Return the system that a platform is one face of: `databricks` of `databricks-jobs`."""
    return next((each for each in _SYSTEMS if platform.startswith(f"{each}-")), platform)


def find_facts(name: str) -> PlatformFacts:
    """Return what is known of one platform. Raises NotFound naming the nearest, or LoadError."""
    if name in platform_names():
        return _facts(name)
    near = nearest_name(name, platform_names())
    raise NotFound(
        f"there is no platform `{name}`" + (f"; did you mean `{near}`?" if near else ""),
        hint="`plinth catalog platforms` lists those that Plinth knows",
    )


def load_facts() -> tuple[PlatformFacts, ...]:
    """Return what is known of every platform, by name. Raises LoadError."""
    return tuple(map(_facts, platform_names()))


def read_facts(content: bytes, file: str = FILE) -> tuple[PlatformFacts, ...]:
    """Read the rows of a platforms file. Raises LoadError with every mistake in it."""
    return load_as(PlatformFile, content, file, quick=True).platforms


def capability_of(facts: PlatformFacts, live: Capability | None = None) -> Capability:
    """Return the facts as rules read them; `live`: what was probed replaces what a file says."""
    groups: dict[str, Any] = {**facts.groups}
    return Capability(
        functions=facts.functions,
        isolation=live.isolation if live else None,
        scale_to_zero=facts.scale_to_zero,
        interruptible=facts.interruptible,
        networks=live.networks if live else facts.networks,
        accelerators=facts.accelerators,
        **groups,
    )


def with_day2_hours(facts: F, stated: Mapping[str, tuple[float, Source]]) -> F:
    """Return facts with the hours that somebody stated by task; the other tasks keep ours.

    The group's source then names which hours come from where, its day is the newest statement's.
    """
    if not stated:
        return facts
    ours = facts.day2
    tasks: dict[str, list[str]] = {}
    for task, (_, source) in stated.items():
        tasks.setdefault(f"{source.text} ({source})", []).append(task)
    kept = [task for task in ours.known if task not in stated]
    if kept:
        tasks[f"{ours.source} ({ours.checked})"] = kept
    changes: dict[str, Any] = {task: hours for task, (hours, _) in stated.items()}
    changes["source"] = "; ".join(f"{', '.join(of)}: {text}" for text, of in tasks.items())
    changes["checked"] = max(source.day for _, source in stated.values())
    return facts.model_copy(update={"day2": ours.model_copy(update=changes)})


def _folder() -> Traversable:
    return resources.files("plinth.catalog").joinpath(FOLDER)


@cache
def _facts(name: str) -> PlatformFacts:
    # The package does not change while a process runs, and a plan is made before every start.
    file = f"{name}{_SUFFIX}"
    return only_row(read_facts(_folder().joinpath(file).read_bytes(), f"{FOLDER}/{file}"), name)


def only_row(rows: tuple[PlatformFacts, ...], name: str) -> PlatformFacts:
    """Return the one row of the file that is called after it. Raises LoadError."""
    if [row.name for row in rows] != [name]:
        found = ", ".join(f"`{row.name}`" for row in rows) or "none"
        message = f"a file holds one platform and has its name: `{name}` here, not {found}"
        raise LoadError([Mistake(f"{FOLDER}/{name}{_SUFFIX}", 1, 1, "platforms", message)])
    return rows[0]


def _platform(
    facts: PlatformFacts, offers: tuple[Offer, ...], live: Capability | None = None
) -> Platform:
    return Platform(
        name=facts.name,
        description=facts.description,
        capability=capability_of(facts, live),
        offers=offers,
        source=f"{facts.source} ({facts.checked.isoformat()})",
    )
