"""The verb `size`: provisioned units and burst for a trace of requests, without a server."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from plinth.catalog.provisioned import CURRENCY, find_provisioned, load_provisioned
from plinth.cli.output import note, print_json, write_page
from plinth.cli.session import JsonOption
from plinth.cli.size_options import (
    CurrencyOption,
    DeploymentTypeOption,
    InputPriceOption,
    MaxUnitsOption,
    ModelOption,
    OutputPriceOption,
    OutputWeightOption,
    P99WaitOption,
    ReportOption,
    ReservedPriceOption,
    ReservedUnitsOption,
    SpillOption,
    TraceOption,
    UnitPriceOption,
    UnitTokensOption,
    WindowOption,
    parse_price,
    parse_share,
    parse_time,
    parse_weight,
    parse_whole,
)
from plinth.cli.size_page import sizing_page
from plinth.cli.size_text import print_sizing
from plinth.cli.verb import verb
from plinth.domain.money import parse_currency
from plinth.kit.errors import Invalid
from plinth.planning.sizing.arrivals import Arrivals, read_arrivals
from plinth.planning.sizing.sizing import Sizing
from plinth.planning.sizing.sizing import size as make_sizing
from plinth.planning.sizing.sizing_inputs import Given, Inputs, make_inputs
from plinth.planning.sizing.sizing_words import describe_sizing, to_json

_GZIP = b"\x1f\x8b"
_LONGEST_LINE = 1_000_000


def size(  # noqa: PLR0913 - each option is one of the question's facts
    *,
    trace: TraceOption,
    model: ModelOption,
    deployment_type: DeploymentTypeOption = "Global",
    spill: SpillOption = None,
    p99_wait: P99WaitOption = None,
    price_per_unit_hour: UnitPriceOption = None,
    input_price: InputPriceOption = None,
    output_price: OutputPriceOption = None,
    currency: CurrencyOption = CURRENCY,
    reserved_price: ReservedPriceOption = None,
    reserved_units: ReservedUnitsOption = None,
    unit_tokens: UnitTokensOption = None,
    output_weight: OutputWeightOption = None,
    window: WindowOption = None,
    max_units: MaxUnitsOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how many provisioned units a trace of requests needs, and what goes to burst.

    Replays the trace against every count of units and takes the cheapest that keeps to the goal;
    then sizes from its first half alone and says what that would have done in the second. Needs no
    running Plinth. Prices that you do not state are list prices, not quotes.
    """
    given = Given(
        unit_tokens=parse_whole("--unit-tokens", unit_tokens),
        output_weight=parse_weight(output_weight),
        window_s=parse_time("--window", window),
        most=parse_whole("--max-units", max_units),
        spill=parse_share("--spill", spill),
        p99_wait_s=parse_time("--p99-wait", p99_wait),
        unit_hour=parse_price("--price-per-unit-hour", price_per_unit_hour),
        input_million=parse_price("--input-price", input_price),
        output_million=parse_price("--output-price", output_price),
        currency=parse_currency(currency),
        reserved_month=parse_price("--reserved-price", reserved_price),
        reserved_units=parse_whole("--reserved-units", reserved_units),
    )
    row = find_provisioned(load_provisioned(), model, deployment_type)
    inputs = make_inputs(read_trace(trace), row, given)
    _show(inputs, make_sizing(inputs.question), report, as_json=as_json)


def read_trace(file: Path) -> Arrivals:
    """Read a trace's file, compressed or not. Raises Invalid when it is none."""
    hint = "give the path of a CSV with a time, input tokens and output tokens in each row"
    try:
        if file.exists() and not file.is_file():
            raise Invalid(f"`{file}` is not a file", hint=hint)
        with file.open("rb") as stream:
            is_gzip = stream.peek(len(_GZIP)).startswith(_GZIP)
            plain = gzip.GzipFile(fileobj=stream) if is_gzip else stream
            with io.TextIOWrapper(plain, encoding="utf-8-sig", newline="") as text:
                return read_arrivals(_lines(text, file), str(file))
    except UnicodeDecodeError as err:
        raise Invalid(f"`{file}` is no text in UTF-8", hint=hint) from err
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise Invalid(f"`{file}` is damaged: {err}", hint="fetch it again") from err
    except OSError as err:
        raise Invalid(f"`{file}` cannot be read: {err.strerror}", hint=hint) from err


def _show(inputs: Inputs, sizing: Sizing, report: Path | None, *, as_json: bool) -> None:
    words = describe_sizing(inputs, sizing)
    if report is not None:
        write_page(report, sizing_page(inputs, sizing, words))
    if as_json:
        print_json(to_json(inputs, sizing))
    else:
        print_sizing(inputs, sizing, words)
    if report is not None:
        note(f"the report is in `{report}`")


def _lines(text: TextIO, file: Path) -> Iterator[str]:
    """Yield the lines; a file of one endless line must not fill the memory."""
    number = 0
    while line := text.readline(_LONGEST_LINE):
        number += 1
        if len(line) >= _LONGEST_LINE:
            raise Invalid(f"{file}:{number}: the line is longer than {_LONGEST_LINE:,} characters")
        yield line


COMMANDS = {"size": verb(size, "size")}
