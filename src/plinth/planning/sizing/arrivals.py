"""When requests came and how large each was: what a trace's file says.

The command line hands over the file's lines; nothing here opens a file. `sizing.py` replays what
this returns.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import NoReturn

from plinth.domain.mistake import nearest_name
from plinth.kit.errors import Invalid

# Names that are in use, in small letters and without `_`, `-` and spaces.
TIME_NAMES = ("t", "timestamp", "time", "ts", "arrivaltime", "arrivedat", "createdat", "datetime")
INPUT_NAMES = (
    *("inputtokens", "contexttokens", "prompttokens", "numprefilltokens", "prefilltokens"),
    *("inputlength", "promptlength", "ninputtokens", "requesttokens"),
)
OUTPUT_NAMES = (
    *("outputtokens", "generatedtokens", "completiontokens", "numdecodetokens", "decodetokens"),
    *("outputlength", "noutputtokens", "responsetokens"),
)
_SHOWN = {
    "the time": "t, timestamp, time, arrived_at",
    "input tokens": "input_tokens, ContextTokens, prompt_tokens, num_prefill_tokens",
    "output tokens": "output_tokens, GeneratedTokens, completion_tokens, num_decode_tokens",
}
MOST_ROWS = 2_000_000
MOST_TOKENS = 10_000_000
# 2100-01-01: what is later was counted in milliseconds or microseconds.
_LATEST_S = 4_102_444_800.0
_TOKENS = re.compile(r"([0-9]{1,12})(?:\.0{1,9})?", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,15})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests in the order in which they came.

    `times_s`: seconds since the first one, never decreasing. `input_tokens`, `output_tokens`: of
    each request. `moved`: how many rows stood before one that came earlier, and were sorted.
    """

    times_s: tuple[float, ...]
    input_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]
    moved: int = 0

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def span_s(self) -> float:
        """Seconds from the first request to the last."""
        return self.times_s[-1] - self.times_s[0]

    def part(self, start: int, stop: int) -> Arrivals:
        """Return the requests from place `start` up to `stop`, counted from their own first."""
        first = self.times_s[start]
        return Arrivals(
            tuple(time - first for time in self.times_s[start:stop]),
            self.input_tokens[start:stop],
            self.output_tokens[start:stop],
        )


def read_arrivals(lines: Iterable[str], file: str) -> Arrivals:
    """Read a CSV with a time, input tokens and output tokens in each row.

    Other columns are skipped. Times are seconds or ISO 8601 (in UTC where no zone is said); rows
    that are out of order are sorted. Raises Invalid with the file and the line of the first
    mistake.
    """
    reader = csv.reader(lines, strict=True)
    rows = _rows(reader, file)
    header = next(rows, None)
    if header is None:
        raise Invalid(f"`{file}` is empty", hint=f"its first line names the columns: {_accepted()}")
    places = _places(header, file)
    times: list[float] = []
    inputs: list[int] = []
    outputs: list[int] = []
    time_of: Callable[[str], float] | None = None
    for cells in rows:
        row = _Row(file, reader.line_num, cells, header)
        if time_of is None:
            time_of = _seconds if _SECONDS.fullmatch(row.cell(places[0]).strip()) else _moment
        times.append(row.time(places[0], time_of))
        inputs.append(row.tokens(places[1]))
        outputs.append(row.tokens(places[2]))
        if len(times) > MOST_ROWS:
            raise Invalid(f"`{file}` has more than {MOST_ROWS:,} rows", hint="give a part of it")
    return _checked(times, inputs, outputs, file)


def _rows(reader: Iterator[list[str]], file: str) -> Iterator[list[str]]:
    """Yield the rows that are not blank."""
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as err:
            line = getattr(reader, "line_num", 0)
            raise Invalid(f"{file}:{line}: this is no CSV: {err}") from err
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield cells


def _checked(times: list[float], inputs: list[int], outputs: list[int], file: str) -> Arrivals:
    if not times:
        raise Invalid(f"`{file}` has a header and no rows", hint="each row is one request")
    moved = sum(later < earlier for earlier, later in pairwise(times))
    if moved:
        order = sorted(range(len(times)), key=times.__getitem__)
        times = [times[place] for place in order]
        inputs = [inputs[place] for place in order]
        outputs = [outputs[place] for place in order]
    if times[-1] == times[0]:
        raise Invalid(
            f"`{file}`: every request came at the same time, so there is no rate to size for",
            hint="give a trace with at least two different times; one of a week or more is best",
        )
    if not any(inputs) and not any(outputs):
        raise Invalid(f"`{file}`: no request has any tokens")
    first = times[0]
    return Arrivals(tuple(time - first for time in times), tuple(inputs), tuple(outputs), moved)


def _places(header: Sequence[str], file: str) -> tuple[int, int, int]:
    """Return which column holds the time, the input tokens and the output tokens."""
    plain = [re.sub(r"[\s_-]", "", name).lower() for name in header]
    wanted = zip(_SHOWN, (TIME_NAMES, INPUT_NAMES, OUTPUT_NAMES), strict=True)
    time, of_input, of_output = (_place(plain, header, what, names, file) for what, names in wanted)
    return time, of_input, of_output


def _place(
    plain: list[str], header: Sequence[str], what: str, names: Sequence[str], file: str
) -> int:
    found = [place for place, name in enumerate(plain) if name in names]
    if len(found) == 1:
        return found[0]
    if found:
        both = " and ".join(f"`{header[place]}`" for place in found)
        raise Invalid(f"{file}:1: {both} both say {what}", hint="remove or rename one of them")
    columns = ", ".join(f"`{name.strip()[:40]}`" for name in header[:20])
    near = next((f"`{name.strip()}`" for name in header if nearest_name(name, names)), None)
    meant = f" (is it {near}?)" if near else ""
    hint = f"the first line names the columns: {_accepted()}"
    if len(header) == 1 and re.search(r"[;\t|]", header[0]):
        hint = "columns are separated by commas"
    raise Invalid(
        f"{file}:1: no column for {what} among {columns}{meant}; accepted: {_SHOWN[what]}",
        hint=hint,
    )


def _accepted() -> str:
    return "; ".join(f"{what} ({names})" for what, names in _SHOWN.items())


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the file; each method reads a cell and refuses what is not its kind."""

    file: str
    line: int
    cells: list[str]
    header: Sequence[str]

    def cell(self, place: int) -> str:
        if place >= len(self.cells):
            count = f"{len(self.cells)} of {len(self.header)} columns"
            raise Invalid(f"{self.file}:{self.line}: the row has {count}")
        return self.cells[place]

    def tokens(self, place: int) -> int:
        text = self.cell(place).strip()
        match = _TOKENS.fullmatch(text)
        if match is None:
            self.refuse(place, "a whole number of tokens from 0 up")
        tokens = int(match[1])
        if tokens > MOST_TOKENS:
            self.refuse(place, f"at most {MOST_TOKENS:,} tokens a request")
        return tokens

    def time(self, place: int, read: Callable[[str], float]) -> float:
        text = self.cell(place).strip()
        try:
            seconds = read(text)
        except ValueError:
            kind = "seconds from 0 up, like the first row's,"
            self.refuse(place, kind if read is _seconds else "seconds or a time like ISO 8601")
        if not 0 <= seconds <= _LATEST_S:
            self.refuse(place, "a time from 1970 to 2100 (seconds, not milliseconds)")
        return seconds

    def refuse(self, place: int, accepted: str) -> NoReturn:
        value = self.cell(place).strip()[:40]
        name = self.header[place].strip()
        raise Invalid(f"{self.file}:{self.line}: {name}: `{value}` where {accepted} is needed")


def _seconds(text: str) -> float:
    """Read a number of seconds. Raises ValueError for what is none, NaN and negative included."""
    if not _SECONDS.fullmatch(text):
        raise ValueError(text)
    seconds = float(text)
    if not math.isfinite(seconds):
        raise ValueError(text)
    return seconds


def _moment(text: str) -> float:
    """Read ISO 8601. Raises ValueError for anything else."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except OverflowError as err:
        raise ValueError(text) from err
