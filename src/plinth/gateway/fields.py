"""What Envoy's messages consist of: numbers and types of their fields, from a table beside this.

`tools/envoy_fields.py` makes the table from the Envoy that is installed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from plinth.gateway.envoy_types import Json

ANY = "google.protobuf.Any"
# How `struct` writes them.
FLOATS = {"double": "<d", "float": "<f"}
_SCALARS = frozenset({"string", "bytes", "bool", *FLOATS})
_NUMBERS = frozenset({"int32", "int64", "uint32", "uint64"})


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `key`: the type of a map's keys; None where it is no map."""

    number: int
    type: str
    is_repeated: bool = False
    is_enum: bool = False
    key: str | None = None

    @property
    def is_message(self) -> bool:
        """Tell whether it holds messages."""
        return not self.is_enum and self.type not in _SCALARS | _NUMBERS


@cache
def fields_of(type_name: str) -> dict[str, Field]:
    """Return the fields of a message by name. Raises ValueError for an unknown type."""
    messages, enums = _table()["messages"], _table()["enums"]
    if type_name not in messages:
        raise ValueError(f"the table of Envoy's fields has no type `{type_name}`")
    return {name: _field(text, enums) for name, text in messages[type_name].items()}


@cache
def names_of(type_name: str) -> dict[str, int]:
    """Return the numbers of an enumeration by name."""
    found: dict[str, int] = _table()["enums"][type_name]
    return found


def _field(text: str, enums: Json) -> Field:
    """Read `5 string`, `5 *string` (many of them) or `5 {string}uint32` (a map)."""
    number, _, kind = text.partition(" ")
    key = None
    if kind.startswith("{"):
        key, _, kind = kind[1:].partition("}")
    name = kind.removeprefix("*")
    return Field(int(number), name, kind.startswith("*"), name in enums, key)


@cache
def _table() -> Json:
    found: Json = json.loads(files("plinth.gateway").joinpath("envoy_fields.json").read_bytes())
    return found
