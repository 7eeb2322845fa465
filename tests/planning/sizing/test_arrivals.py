"""Traces are read in the usual spellings, and each mistake is told with its line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plinth.kit.errors import Invalid
from plinth.planning.sizing import arrivals as module
from plinth.planning.sizing.arrivals import Arrivals, read_arrivals

HEADER = "t,input_tokens,output_tokens\n"


def read(text: str) -> Arrivals:
    return read_arrivals(text.splitlines(keepends=True), "trace.csv")


@pytest.mark.parametrize(
    "header",
    [
        "t,input_tokens,output_tokens",
        "TIMESTAMP,ContextTokens,GeneratedTokens",
        "arrived_at,num_prefill_tokens,num_decode_tokens",
        "time, prompt_tokens, completion_tokens",
    ],
)
def test_the_usual_headers_are_known(header: str) -> None:
    found = read(f"{header}\n0,374,44\n4.5,396,109\n")
    assert found == Arrivals((0.0, 4.5), (374, 396), (44, 109))
    assert (len(found), found.span_s) == (2, 4.5)


def test_columns_may_stand_in_any_order_and_others_are_skipped() -> None:
    found = read("output_tokens,model,t,input_tokens\n1,x,10,2\n\n3,y,11,4.0\n")
    assert found == Arrivals((0.0, 1.0), (2, 4), (1, 3))


def test_times_may_be_iso_8601_and_count_from_the_first() -> None:
    found = read(
        HEADER + "2023-11-16 18:15:46.6805900,1,1\n2023-11-16T18:15:47.680590Z,1,1\n"
        "2023-11-16T19:15:48.680590+01:00,1,1\n"
    )
    assert found.times_s == pytest.approx((0.0, 1.0, 2.0))


def test_rows_out_of_order_are_sorted_and_counted() -> None:
    found = read(HEADER + "5,50,0\n1,10,0\n3,30,0\n")
    assert found == Arrivals((0.0, 2.0, 4.0), (10, 30, 50), (0, 0, 0), moved=1)


def test_a_part_counts_from_its_own_first() -> None:
    found = read(HEADER + "1,10,1\n3,30,3\n6,60,6\n").part(1, 3)
    assert found == Arrivals((0.0, 3.0), (30, 60), (3, 6))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`trace.csv` is empty"),
        ("\n\n", "`trace.csv` is empty"),
        (HEADER, "`trace.csv` has a header and no rows"),
        ("0,1,2\n1,2,3\n", "trace.csv:1: no column for the time among `0`, `1`, `2`"),
        ("when,input_tokens,output_tokens\n", "accepted: t, timestamp, time, arrived_at"),
        ("t,tokens,output_tokens\n", "no column for input tokens among"),
        ("t,time,input_tokens,output_tokens\n", "`t` and `time` both say the time"),
        (HEADER + "0,1,1\n", "every request came at the same time"),
        (HEADER + "0,0,0\n1,0,0\n", "no request has any tokens"),
        (HEADER + "0,1,1\n1,-3,1\n", "trace.csv:3: input_tokens: `-3` where a whole number"),
        (HEADER + "0,1,1\n1,nan,1\n", "trace.csv:3: input_tokens: `nan` where a whole number"),
        (HEADER + "0,1,1\n1,1,1.5\n", "trace.csv:3: output_tokens: `1.5` where a whole number"),
        (HEADER + "0,1,1\n1,99999999,1\n", "`99999999` where at most 10,000,000 tokens"),
        (HEADER + "0,1,1\n1,1\n", "trace.csv:3: the row has 2 of 3 columns"),
        (HEADER + "0,1,1\nnan,1,1\n", "trace.csv:3: t: `nan` where seconds from 0 up"),
        (HEADER + "0,1,1\n-1,1,1\n", "trace.csv:3: t: `-1` where seconds from 0 up"),
        (HEADER + "0,1,1\n2026-01-01,1,1\n", "`2026-01-01` where seconds from 0 up, like the"),
        (HEADER + "2026-01-01,1,1\n7,1,1\n", "`7` where seconds or a time like ISO 8601"),
        (HEADER + "soon,1,1\n", "trace.csv:2: t: `soon` where seconds or a time like ISO 8601"),
        (HEADER + "1700000000000,1,1\n", "a time from 1970 to 2100 (seconds, not milliseconds)"),
        (HEADER + "1e99,1,1\n", "a time from 1970 to 2100"),
        (HEADER + '0,"1,1\n', "trace.csv:2: this is no CSV"),
    ],
)
def test_a_bad_trace_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(text)
    assert said in refused.value.message


def test_other_separators_are_told() -> None:
    with pytest.raises(Invalid) as refused:
        read("t;input_tokens;output_tokens\n0;1;1\n")
    assert refused.value.hint == "columns are separated by commas"


def test_a_name_that_is_nearly_right_is_pointed_at() -> None:
    with pytest.raises(Invalid, match=r"is it `inputs_tokens`\?"):
        read("t,inputs_tokens,output_tokens\n")


def test_too_many_rows_are_refused_without_reading_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def endless() -> Iterator[str]:
        yield HEADER
        while True:
            yield "1,1,1\n"

    monkeypatch.setattr(module, "MOST_ROWS", 10)
    with pytest.raises(Invalid, match="more than 10 rows"):
        read_arrivals(endless(), "trace.csv")
