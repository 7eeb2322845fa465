"""The options of `plinth size`, and how their numbers are read; NaN and signs are refused."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from plinth.domain.money import parse_amount
from plinth.kit.errors import Invalid
from plinth.kit.units import parse_duration

_MOST_UNITS = 1_000_000
_LONGEST_S = 86_400.0
_ANY = Fraction(10**12)

TraceOption = Annotated[
    Path,
    typer.Option("--trace", help="CSV, also .gz: time, input and output tokens of each request"),
]
ModelOption = Annotated[str, typer.Option(help="Such as `gpt-4o`")]
DeploymentTypeOption = Annotated[str, typer.Option(help="Global, DataZone or Regional")]
SpillOption = Annotated[
    str | None,
    typer.Option(help="At most this share of requests goes to burst, like `0.05` or `5%`"),
]
P99WaitOption = Annotated[
    str | None,
    typer.Option(
        "--p99-wait", help="99 % of requests get units within this time, like `2s`; they wait"
    ),
]
UnitPriceOption = Annotated[
    str | None,
    typer.Option("--price-per-unit-hour", help="One unit for an hour [default: list price]"),
]
InputPriceOption = Annotated[
    str | None, typer.Option(help="A million input tokens of burst [default: list price]")
]
OutputPriceOption = Annotated[
    str | None, typer.Option(help="A million output tokens of burst [default: list price]")
]
CurrencyOption = Annotated[str, typer.Option(help="Of every price; list prices are in USD")]
ReservedPriceOption = Annotated[str | None, typer.Option(help="One reserved unit for a month")]
ReservedUnitsOption = Annotated[
    str | None,
    typer.Option(help="Units reserved already, paid for in any case [default: as deployed]"),
]
UnitTokensOption = Annotated[
    str | None,
    typer.Option(help="Input tokens a minute of one unit, as you measured [default: catalog]"),
]
OutputWeightOption = Annotated[
    str | None,
    typer.Option(help="Input tokens that one output token counts as [default: catalog, or 4]"),
]
WindowOption = Annotated[
    str | None, typer.Option(help="Time in which units drain 100 % [default: 60s]")
]
MaxUnitsOption = Annotated[
    str | None, typer.Option(help="Consider no more units, like your quota [default: 10000]")
]
ReportOption = Annotated[Path | None, typer.Option(help="Write a page for browsers to this file")]


def parse_share(option: str, text: str | None) -> Fraction | None:
    """Read `0.05` or `5%`. Raises Invalid for what is no share from 0 to 1."""
    if text is None:
        return None
    accepted = _Range(Fraction(0), Fraction(1), True, "a share from 0 to 1, like `0.05` or `5%`,")
    if text.strip().endswith("%"):
        accepted = _Range(Fraction(0), Fraction(100), True, accepted.words)
        return Fraction(_number(option, text.strip()[:-1], accepted)) / 100
    return Fraction(_number(option, text, accepted))


def parse_price(option: str, text: str | None) -> Decimal | None:
    """Read a price from 0 up. Raises Invalid for anything else."""
    words = "a price like `2.50`, from 0 up,"
    return text if text is None else _number(option, text, _Range(Fraction(0), _ANY, True, words))


def parse_weight(text: str | None) -> Decimal | None:
    """Read `--output-weight`. Raises Invalid for what is not above 0, at most 100."""
    words = "a number above 0, at most 100,"
    accepted = _Range(Fraction(0), Fraction(100), False, words)
    return text if text is None else _number("--output-weight", text, accepted)


def parse_whole(option: str, text: str | None) -> int | None:
    """Read a whole number from 1 up. Raises Invalid for anything else."""
    if text is None:
        return None
    words = f"a whole number from 1 to {_MOST_UNITS:,}"
    number = _number(option, text, _Range(Fraction(0), Fraction(_MOST_UNITS), False, words))
    if number != int(number):
        raise Invalid(f"`{option} {text[:40]}`: {words} is needed")
    return int(number)


def parse_time(option: str, text: str | None) -> float | None:
    """Read a duration like `2s`. Raises Invalid for what is not above 0, at most a day."""
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as err:
        raise Invalid(f"`{option}`: {err}") from err
    if not 0 < seconds <= _LONGEST_S:
        raise Invalid(f"`{option} {text[:40]}`: a time above 0, at most a day, is needed")
    return seconds


@dataclass(frozen=True, slots=True)
class _Range:
    """What an option accepts. `least` itself is accepted only where `with_least`."""

    least: Fraction
    most: Fraction
    with_least: bool
    words: str


def _number(option: str, text: str, accepted: _Range) -> Decimal:
    """Read a decimal number without a sign or an exponent, NaN and infinity refused."""
    try:
        number = parse_amount(text.strip())
    except Invalid:
        number = None
    inside = number is not None and (
        accepted.least < number <= accepted.most
        or (accepted.with_least and number == accepted.least)
    )
    if number is None or not inside:
        raise Invalid(f"`{option} {text[:40]}`: {accepted.words} is needed")
    return number
