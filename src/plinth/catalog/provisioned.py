"""What a unit of provisioned throughput does, how many there may be, and what they cost.

Facts of `data/provisioned.csv`; `data/provisioned.SOURCES.md` names where each column comes from.
`plinth size` reads them. A wrong row is refused with its line, and nothing is half loaded.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from itertools import groupby
from typing import NoReturn

from plinth.domain.mistake import nearest_name
from plinth.kit.errors import Invalid

FILE = "provisioned.csv"
CURRENCY = "USD"
COLUMNS = (
    *("model", "version", "deployment_type", "offered"),
    *("input_tpm_per_unit", "output_weight", "minimum", "increment", "capacity_source"),
    *("unit_usd_hour", "input_usd_million", "output_usd_million", "input_meter", "output_meter"),
)
# Where data stays while it is processed: anywhere, in a zone like the EU, in one region.
DEPLOYMENT_TYPES = ("Global", "DataZone", "Regional")
CAPACITY_SOURCES = {
    "learn": "Microsoft Learn, PTU sizing (2026-05-22)",
    "package": "az-scout-plugin-aoai-ptu-advisor (2026-03-31)",
}
PRICE_SOURCE = "Azure Retail Prices, East US (2026-08-11)"

_COUNT = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_KNOWN = "a model whose provisioned units are known"
_DECIMAL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ProvisionedModel:
    """One model on one kind of provisioned deployment. None: unknown.

    `input_tokens_per_minute`: of one unit. `output_weight`: as how many input tokens one output
    token counts. `minimum` and `increment`: the fewest units, and the steps above them.
    `unit_price`: of one unit for an hour; `input_price`, `output_price`: of a million tokens, paid
    as they go; all in USD.
    """

    model: str
    version: str
    deployment_type: str
    is_offered: bool
    input_tokens_per_minute: int
    output_weight: Decimal | None
    minimum: int
    increment: int
    capacity_source: str
    unit_price: Decimal | None
    input_price: Decimal | None
    output_price: Decimal | None


def load_provisioned() -> tuple[ProvisionedModel, ...]:
    """Return every row of the file. Raises Invalid when the file has a mistake."""
    file = resources.files("plinth.catalog").joinpath("data").joinpath(FILE)
    return read_provisioned(file.read_text(encoding="utf-8"))


def read_provisioned(text: str, file: str = FILE) -> tuple[ProvisionedModel, ...]:
    """Read such a file. Raises Invalid with the line and the field of the first mistake."""
    reader = csv.DictReader(text.splitlines(), restkey="more", restval="")
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise Invalid(f"{file}:1: the columns must be {', '.join(COLUMNS)}")
    found: dict[tuple[str, str], ProvisionedModel] = {}
    for cells in reader:
        row = _row(_Cells(file, reader.line_num, cells))
        key = (row.model, row.deployment_type)
        if key in found:
            raise Invalid(f"{file}:{reader.line_num}: {row.model} {key[1]} stands twice")
        found[key] = row
    return tuple(found.values())


def find_provisioned(
    rows: Sequence[ProvisionedModel], model: str, deployment_type: str
) -> ProvisionedModel:
    """Return the row of a model and a kind of deployment, in whatever case they are written.

    Raises Invalid naming what there is.
    """
    kind = _named(deployment_type, DEPLOYMENT_TYPES, "a kind of deployment")
    name = _named(model, [key for key, _ in groupby(rows, lambda row: row.model)], _KNOWN)
    of_model = {row.deployment_type: row for row in rows if row.model == name and row.is_offered}
    if kind not in of_model:
        raise Invalid(
            f"`{name}` has no provisioned deployment of the kind `{kind}`; accepted: "
            + ", ".join(of_model),
            hint=f"`--deployment-type {next(iter(of_model), DEPLOYMENT_TYPES[0])}`",
        )
    return of_model[kind]


def _named(wanted: str, names: Sequence[str], what: str) -> str:
    for name in names:
        if name.lower() == wanted.strip().lower():
            return name
    near = nearest_name(wanted, names)
    meant = f"; did you mean `{near}`?" if near else ";"
    raise Invalid(f"`{wanted[:40]}` is not {what}{meant} accepted: {', '.join(names)}")


@dataclass(frozen=True, slots=True)
class _Cells:
    """One line of the file; each method reads a cell and refuses what is not its kind."""

    file: str
    line: int
    cells: dict[str, str]

    def text(self, name: str) -> str:
        found = self.cells[name].strip()
        return found if found else self.refuse(name, "a text")

    def one_of(self, name: str, accepted: Sequence[str]) -> str:
        found = self.text(name)
        return found if found in accepted else self.refuse(name, " or ".join(accepted))

    def count(self, name: str) -> int:
        found = self.text(name)
        return int(found if _COUNT.fullmatch(found) else self.refuse(name, "a number from 1 up"))

    def decimal(self, name: str) -> Decimal | None:
        found = self.cells[name].strip()
        if not found:
            return None
        is_number = _DECIMAL.fullmatch(found) and Decimal(found) > 0
        return Decimal(found if is_number else self.refuse(name, "a number above 0, or nothing"))

    def refuse(self, name: str, accepted: str) -> NoReturn:
        value = self.cells[name][:40]
        raise Invalid(f"{self.file}:{self.line}: {name}: `{value}` where {accepted} is needed")


def _row(cells: _Cells) -> ProvisionedModel:
    if "more" in cells.cells:
        raise Invalid(f"{cells.file}:{cells.line}: more cells than the {len(COLUMNS)} columns")
    prices = cells.decimal("input_usd_million"), cells.decimal("output_usd_million")
    if (prices[0] is None) != (prices[1] is None):
        cells.refuse("output_usd_million", "a price beside that of input tokens, or neither,")
    return ProvisionedModel(
        model=cells.text("model"),
        version=cells.text("version"),
        deployment_type=cells.one_of("deployment_type", DEPLOYMENT_TYPES),
        is_offered=cells.one_of("offered", ("yes", "no")) == "yes",
        input_tokens_per_minute=cells.count("input_tpm_per_unit"),
        output_weight=cells.decimal("output_weight"),
        minimum=cells.count("minimum"),
        increment=cells.count("increment"),
        capacity_source=CAPACITY_SOURCES[cells.one_of("capacity_source", tuple(CAPACITY_SOURCES))],
        unit_price=cells.decimal("unit_usd_hour"),
        input_price=prices[0],
        output_price=prices[1],
    )
