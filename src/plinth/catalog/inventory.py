"""The inventory of a home: what the organisation owns, in one file beside the imports.

`plinth inventory` changes it; the command line and the control service read it for each plan. The
file is replaced as a whole, and a lock keeps two who add at once from losing each other's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from plinth.catalog import import_values as values
from plinth.catalog.catalog import Catalog
from plinth.catalog.import_values import Check, Known, WrongValue, shown
from plinth.catalog.machine import LOCAL
from plinth.catalog.names import nearest, spelling
from plinth.catalog.platforms import find_facts, platform_names
from plinth.catalog.provisioned import load_provisioned
from plinth.domain.base import NAME_LENGTH, check_name
from plinth.domain.inventory import Inventory, Owned
from plinth.kit.errors import Conflict, Invalid, NotFound
from plinth.kit.files import locked, make_private, write_json

# Not `.json`: the folder's files of that ending are imports.
FILE = "inventory"
FORMAT = 1
MOST_OWNED = 1000
PROVISIONED = "provisioned"
# The ending keeps it out of backups.
_LOCK = f".{FILE}.lock.tmp"
_LISTS = "`plinth inventory list` shows what is there"


def load_inventory(folder: Path) -> Inventory:
    """Return what is owned, as the folder of a home's catalog keeps it; nothing without a file.

    Read anew only when the file has changed. Raises Invalid when it was damaged.
    """
    path = folder / FILE
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _NOTHING
    # Each change is another file that was renamed over this one.
    return _read(path, (state.st_ino, state.st_mtime_ns, state.st_size))


def add_owned(folder: Path, owned: Owned, *, renames: bool = False) -> Owned:
    """Keep one more thing, and return it as it is kept.

    `renames`: where its name is taken it gets the next one, `aks-2`. Raises Conflict for a name
    that is taken, and for this machine a second time; Invalid when the file was damaged or is full.
    """
    with _changing(folder) as known:
        names = {each.name for each in known}
        for each in known if owned.platform == LOCAL else ():
            if each.platform == LOCAL:
                raise Conflict(
                    f"this machine is in the inventory already, as `{each.name}`",
                    hint=f"`plinth inventory remove {each.name}`, then add it again",
                )
        if len(known) >= MOST_OWNED:
            raise Invalid(f"the inventory holds {MOST_OWNED:,} things; that is the most")
        if owned.name in names and not renames:
            raise Conflict(f"`{owned.name}` is in the inventory already", hint=_LISTS)
        kept = owned.model_copy(update={"name": _free_name(owned.name, names)})
        known.append(kept)
    return kept


def remove_owned(folder: Path, name: str) -> Owned:
    """Take one thing out and return it. Raises NotFound with the nearest name."""
    # Looked at before anything is written: a wrong name makes no home.
    _find(load_inventory(folder).owned, name)
    with _changing(folder) as known:
        found = _find(known, name)
        known.remove(found)
    return found


def check_owned(stated: Mapping[str, str], catalog: Catalog) -> Owned:
    """Return what is stated, each field of `Owned` as a text, checked against the catalog.

    Its name is the platform's where none is stated. Raises Invalid with every mistake, each with
    what is accepted or the nearest name.
    """
    known = catalog.known()
    mistakes: list[str] = []
    checked: dict[str, Any] = {}
    for field, text in stated.items():
        try:
            checked[field] = _CHECKS[field](text.strip(), known)
        except WrongValue as wrong:
            mistakes.append(_words(field, wrong, text))
    if not mistakes:
        together = _wrong_together(checked)
        mistakes = [_words(field, each, stated.get(field, "")) for field, each in together]
    if mistakes:
        raise Invalid("\n".join(mistakes), hint="nothing was added")
    if "memory" in checked:
        # Bytes by now, and a text of digits would be read so anyway.
        checked["memory"] = int(checked["memory"])
    for field in ("cpu", "count", "units"):
        if field in checked:
            checked[field] = float(checked[field]) if field == "cpu" else int(checked[field])
    return Owned.model_validate({"name": checked["platform"], **checked})


def fewest_units(model: str) -> int | None:
    """Return the fewest units that any deployment of a model has; None: unknown."""
    known = [each for each in load_provisioned() if each.is_offered]
    return min((each.minimum for each in known if each.model == model), default=None)


@lru_cache(maxsize=8)
def _read(path: Path, state: tuple[int, int, int]) -> Inventory:  # noqa: ARG001 - the cache's key
    try:
        return _parsed(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError) as err:
        # Pydantic's errors are ValueErrors.
        raise Invalid(
            f"`{path}` was damaged: it is no inventory that this Plinth wrote",
            hint="bring it back from a backup; or remove the file and add what you own again",
        ) from err
    except OSError as err:
        raise Invalid(f"`{path}` cannot be read: {err.strerror}") from err


def _parsed(content: Any) -> Inventory:
    if content["format"] != FORMAT:
        raise ValueError(content["format"])
    inventory = Inventory.model_validate({"owned": content["owned"]})
    if len({each.name for each in inventory.owned}) < len(inventory.owned):
        raise ValueError("a name stands twice")
    return inventory


@contextmanager
def _changing(folder: Path) -> Iterator[list[Owned]]:
    """Yield what is owned, for changing; it is kept when nothing was raised."""
    try:
        make_private(folder)
        with locked(folder / _LOCK):
            known = list(load_inventory(folder).owned)
            yield known
            rows = [each.model_dump(mode="json", exclude_none=True) for each in known]
            write_json(folder / FILE, {"format": FORMAT, "owned": rows})
    except OSError as err:
        raise Invalid(
            f"`{folder}` cannot be written: {err.strerror}; nothing was changed",
            hint="choose a folder that you own: `--home DIR` or PLINTH_HOME",
        ) from err


def _find(known: Sequence[Owned], name: str) -> Owned:
    for each in known:
        if each.name == name:
            return each
    close = nearest(name, [each.name for each in known])
    meant = f"; did you mean `{close}`?" if close else ""
    raise NotFound(f"{shown(name)} is not in the inventory{meant}", hint=_LISTS)


def _free_name(name: str, taken: Iterable[str]) -> str:
    names, free, number = set(taken), name, 1
    while free in names:
        number += 1
        ending = f"-{number}"
        free = f"{name[: NAME_LENGTH - len(ending)].rstrip('-')}{ending}"
    return free


# -- what a field may hold -----------------------------------------------------------------------


def _name(text: str, _: Known) -> str:
    try:
        return check_name(text)
    except ValueError as err:
        raise WrongValue(str(err)) from err


def _region(text: str, known: Known) -> str:
    groups = {spelling(each): each for each in known.regions.groups}
    group = groups.get(spelling(text))
    if group is not None and known.regions.named(text) is None:
        raise WrongValue(
            f"{shown(text)} is a group of regions; name the one where it stands "
            f"(`plinth catalog regions --geography {group}` lists them)"
        )
    return values.region(text, known)


def _accelerator(text: str, known: Known) -> str:
    return values.accelerator(text if ":" in text else f"{text}:1", known)


def _model(text: str, _: Known) -> str:
    models = tuple(dict.fromkeys(each.model for each in load_provisioned()))
    found = {spelling(each): each for each in models}.get(spelling(text))
    if found is None:
        raise WrongValue(
            f"{shown(text)} is not a model whose provisioned units are known", nearest_of=models
        )
    return found


def _wrong_together(checked: Mapping[str, Any]) -> Iterator[tuple[str, WrongValue]]:
    for field, other in (("units", "model"), ("model", "units")):
        if field in checked and other not in checked:
            yield other, WrongValue(f"`{field}` needs `{other}` beside it")
    platform = checked["platform"]
    tiers = find_facts(platform).supply.tiers
    if "units" in checked and tiers is not None and PROVISIONED not in tiers:
        sells = [
            each
            for each in platform_names()
            if PROVISIONED in (find_facts(each).supply.tiers or ())
        ]
        yield (
            "units",
            WrongValue(f"`{platform}` has no units of provisioned throughput", sells),
        )


def _words(field: str, wrong: WrongValue, text: str) -> str:
    accepted, close = values.words_of(wrong, text)
    said = f"`{field}`: {wrong.message}"
    if accepted:
        said += f"; accepted: {', '.join(accepted)}"
    return f"{said}; did you mean `{close}`?" if close else said


_AMOUNT = values.number("0.000000000001", "1000000000", zero=True)
_CHECKS: Mapping[str, Check] = {
    "platform": values.platform,
    "name": _name,
    "region": _region,
    "cpu": values.number("0.001", "10000"),
    "memory": values.memory,
    "accelerator": _accelerator,
    "count": values.number("1", "100000", whole=True),
    "price_per_hour": _AMOUNT,
    "model": _model,
    "units": values.number("1", "1000000", whole=True),
    "committed": _AMOUNT,
    "currency": values.currency,
}
_NOTHING = Inventory()
