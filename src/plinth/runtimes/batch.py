"""What batch inference needs of packages, as data: pinned, with source and date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml

from plinth.kit.ids import digest_of

_FOLDER = Path(__file__).parent
_FILE = _FOLDER / "batch.yaml"
# What `form.json` holds and how both forms are compared; what another one found does not count.
_FORMAT = "2"


@dataclass(frozen=True, slots=True)
class BatchPackages:
    """See `batch.yaml`, which says what each list is for."""

    answer: tuple[str, ...]
    beside: tuple[str, ...]
    convert: tuple[str, ...]
    source: str
    date: date

    @property
    def folder(self) -> Path:
        """The folder that the program's processes must be able to read."""
        return _FOLDER

    @property
    def converter(self) -> str:
        """What the conversion of a model depends on, in a few characters."""
        return digest_of("\n".join((*self.convert, *self.answer, _FORMAT)).encode())[:8]


def load_batch_packages() -> BatchPackages:
    """Return what the file says."""
    found = yaml.safe_load(_FILE.read_text("utf-8"))
    lists = {name: tuple(found[name]) for name in ("answer", "beside", "convert")}
    return BatchPackages(**lists, source=found["source"], date=found["date"])
