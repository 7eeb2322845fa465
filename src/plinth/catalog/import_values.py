"""One cell of an imported file: is it a value of its column, and how is it written in full.

Each check takes the cell's text and what is known, and returns the text that is kept: the region's
own name, the number as it stands. A wrong one raises WrongValue with what is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from plinth.catalog.accelerators import Accelerators
from plinth.catalog.names import nearest, spelling
from plinth.catalog.regions import Regions
from plinth.catalog.services import Services
from plinth.catalog.skus import Skus
from plinth.kit.units import parse_bytes

# Twelve digits on each side: more than any price, and every product of two stays exact.
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,79}")
_ACCELERATOR = re.compile(r"([A-Za-z][A-Za-z0-9-]*):([0-9]{1,3})")
_MOST_MEMORY = 2**50
_SHOWN = 60
_MOST_ACCEPTED = 12
# ISO 4217, without funds and metals.
_CODES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP "
    "BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP "
    "GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR "
    "KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK "
    "MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR "
    "SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS "
    "UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG"
)
CURRENCIES = tuple(_CODES.split())


class WrongValue(Exception):
    """A cell that is no value of its column: the fact, what is accepted, the nearest of it."""

    def __init__(
        self, message: str, accepted: Sequence[str] = (), nearest_of: Iterable[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.accepted = tuple(accepted)
        # Not listed before it is asked for: thousands of rows may name thousands of sizes.
        self.nearest_of = nearest_of or accepted


@dataclass(frozen=True, slots=True)
class Known:
    """The names that rows may use."""

    regions: Regions
    skus: Skus
    services: Services
    accelerators: Accelerators
    platforms: tuple[str, ...]


Check = Callable[[str, Known], str]


def shown(text: str) -> str:
    """Return a value for a message, cut when it is long."""
    return f"`{text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}`"


def number(least: str, most: str, *, whole: bool = False, zero: bool = False) -> Check:
    """Return a check for a number from `least` to `most`; `zero`: 0 is accepted too."""
    low, high = Decimal(least), Decimal(most)

    def check(text: str, _: Known) -> str:
        if not _NUMBER.fullmatch(text) or (whole and "." in text):
            kind = "a whole number" if whole else "a number"
            example = "`40`" if whole else "`0.03`"
            raise WrongValue(
                f"{shown(text)} is not {kind} like {example}: no sign, no exponent, "
                "a point for the decimals"
            )
        value = Decimal(text)
        if value > high:
            raise WrongValue(f"{shown(text)} is not accepted; it must be at most {high:,f}")
        if value < low and not (zero and value == 0):
            fact = "it must be more than 0" if value == 0 else f"it must be at least {low:f}"
            raise WrongValue(f"{shown(text)} is not accepted; {fact}")
        return text

    return check


def one_of(values: Sequence[str]) -> Check:
    """Return a check for one of a few words, however they are spelled."""
    by_spelling = {spelling(value): value for value in values}

    def check(text: str, _: Known) -> str:
        found = by_spelling.get(spelling(text))
        if found is None:
            raise WrongValue(f"{shown(text)} is not one of the accepted values", values)
        return found

    return check


def several_of(values: Sequence[str]) -> Check:
    """Return a check for some words of a few, with spaces between them."""
    one = one_of(values)

    def check(text: str, known: Known) -> str:
        return " ".join(sorted({one(word, known) for word in text.split()}))

    return check


def region(text: str, known: Known) -> str:
    """Check the name of a region and return Azure's."""
    name = known.regions.named(text)
    if name is None:
        raise WrongValue(f"{shown(text)} is not a region", nearest_of=known.regions.names)
    return name


def known_sku(text: str, known: Known) -> str:
    """Check the name of a size that the catalog has, and return it as the catalog writes it."""
    if text not in known.skus:
        names = (each.name for each in known.skus)
        raise WrongValue(
            f"{shown(text)} is not a size that the catalog knows (a file of kind `skus` adds one)",
            nearest_of=names,
        )
    return known.skus.find(text).name


def any_sku(text: str, known: Known) -> str:
    """Check the name of a size, a new one too."""
    if text in known.skus:
        return known.skus.find(text).name
    return name(text.removeprefix("Standard_"), known)


def service(text: str, known: Known) -> str:
    """Check the name of a service and return Azure's."""
    if text not in known.services:
        names = (each.name for each in known.services)
        raise WrongValue(f"{shown(text)} is not a service", nearest_of=names)
    return known.services.find(text).name


def platform(text: str, known: Known) -> str:
    """Check the name of a platform and return it as the catalog writes it."""
    found = {spelling(each): each for each in known.platforms}.get(spelling(text))
    if found is None:
        raise WrongValue(
            f"{shown(text)} is not a platform that the catalog knows", nearest_of=known.platforms
        )
    return found


def name(text: str, _: Known) -> str:
    """Check a name that nobody lists, such as a model's."""
    if not _NAME.fullmatch(text):
        raise WrongValue(
            f"{shown(text)} is not a name: letters, digits, spaces and `._/-`, at most 80 of them"
        )
    return text


def currency(text: str, _: Known) -> str:
    """Check a currency by its three letters of ISO 4217."""
    if text not in CURRENCIES:
        raise WrongValue(
            f"{shown(text)} is not a currency; three letters like `EUR` are", nearest_of=CURRENCIES
        )
    return text


def memory(text: str, _: Known) -> str:
    """Check a size of memory and return it in bytes."""
    try:
        size = parse_bytes(int(text) if text.isdecimal() else text)
    except ValueError as err:
        raise WrongValue(str(err)) from err
    if not 0 < size <= _MOST_MEMORY:
        raise WrongValue(f"{shown(text)} is not accepted; it must be more than 0, at most 1 PiB")
    return str(size)


def accelerator(text: str, known: Known) -> str:
    """Check an accelerator with its number, like `A100:2`; `none`: the size has none."""
    if text == "none":
        return text
    match = _ACCELERATOR.fullmatch(text)
    if match is None or int(match[2]) == 0:
        raise WrongValue(f"{shown(text)} is not an accelerator; write it like `A100:2`, or `none`")
    kinds = {spelling(each.kind): each.kind for each in known.accelerators}
    kind = kinds.get(spelling(match[1]))
    if kind is None:
        raise WrongValue(
            f"{shown(match[1])} is not a kind of accelerator that the catalog knows",
            nearest_of=tuple(sorted(set(kinds.values()))),
        )
    return f"{kind}:{int(match[2])}"


def words_of(wrong: WrongValue, text: str) -> tuple[tuple[str, ...] | None, str | None]:
    """Return what is accepted (when it is short enough to be read) and the nearest of it."""
    accepted = wrong.accepted if len(wrong.accepted) <= _MOST_ACCEPTED else ()
    close = nearest(text, wrong.nearest_of) if wrong.nearest_of else None
    return accepted or None, close
