"""`plinth size` on small files, compressed and broken ones included."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from plinth.cli import size as module
from tests.cli.terminal import Terminal

ROWS = "t,input_tokens,output_tokens\n" + "".join(f"{n},1000,100\n" for n in range(600))


@pytest.fixture
def trace(terminal: Terminal) -> Path:
    return terminal.write("trace.csv", ROWS)


def test_the_answer_needs_no_running_plinth_and_shows_what_it_rests_on(
    terminal: Terminal, trace: Path
) -> None:
    (terminal.home / "node.json").unlink()
    said = terminal("size", "--trace", trace, "--model", "gpt-4o", "--spill", "2.5%")
    assert said.code == 0
    assert said.out.startswith("gpt-4o 2024-11-20, Global: 30 provisioned units, burst for ")
    shown = ("USD a month by units", "all burst (misses the goal)", "second half (observed)")
    assert all(words in said.out for words in (*shown, "Microsoft Learn", "no quote"))
    assert said.err.startswith("caution: the trace lasts 9m 59s: it shows no daily")


def test_json_has_the_same_answer(terminal: Terminal, trace: Path) -> None:
    options = ("--model", "GPT-4o", "--spill", "0.025", "--json")
    said = terminal("size", "--trace", trace, *options)
    assert (said.json["chosen"]["units"], said.json["currency"]) == (30, "USD")
    assert said.json["halves"]["units"] == 30
    assert said.err == ""


def test_prices_that_are_stated_are_used(terminal: Terminal, trace: Path) -> None:
    prices = ("--price-per-unit-hour", "0.2", "--input-price", "3", "--output-price", "12")
    found = terminal(
        *("size", "--trace", trace, "--model", "gpt-4o", *prices, "--currency", "EUR", "--json")
    ).json
    # 365 x 2 hours at 0.20 EUR.
    assert (
        found["all_provisioned"]["base_per_month"]
        == f"{found['all_provisioned']['units'] * 146}.00"
    )
    # 0.6 M x 3 + 0.06 M x 12 = 2.52 EUR in 599 s, 730 hours a month.
    assert found["all_burst"]["total_per_month"] == "11056.03"


def test_reserved_units_and_limits_reach_the_answer(terminal: Terminal, trace: Path) -> None:
    options = ("--reserved-price", "260", "--reserved-units", "20", "--max-units", "25", "--json")
    found = terminal("size", "--trace", trace, "--model", "gpt-4o", *options).json
    assert found["chosen"]["units"] == 20
    assert found["all_burst"]["base_per_month"] == "5200.00"
    assert found["all_provisioned"] is None


def test_a_compressed_trace_is_read_whatever_its_name(terminal: Terminal, trace: Path) -> None:
    packed = trace.with_name("packed.csv")
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + ROWS.encode()))
    asked = ("--model", "gpt-4o", "--spill", "0", "--json")
    assert terminal("size", "--trace", packed, *asked).json["requests"] == 600


def test_the_report_is_written_and_named(terminal: Terminal, trace: Path) -> None:
    report = trace.with_name("size.html")
    said = terminal("size", "--trace", trace, "--model", "gpt-4o", "--report", report, "--json")
    assert said.err == f"the report is in `{report}`\n"
    assert report.read_text().startswith("<!doctype html>")
    nowhere = trace.with_name("no") / "size.html"
    said = terminal("size", "--trace", trace, "--model", "gpt-4o", "--report", nowhere)
    assert (said.code, said.out) == (1, "")
    assert "cannot be written: No such file or directory" in said.err


def test_a_file_that_is_no_trace_is_refused_in_words(terminal: Terminal, trace: Path) -> None:
    def refused(file: Path) -> str:
        said = terminal("size", "--trace", file, "--model", "gpt-4o")
        assert (said.code, said.out) == (1, "")
        return said.err

    broken = trace.with_name("broken.csv")
    assert "cannot be read: No such file" in refused(broken)
    assert "is not a file" in refused(trace.parent)
    broken.write_bytes(gzip.compress(ROWS.encode())[:-200])
    assert "is damaged" in refused(broken)
    broken.write_bytes(b"\x1f\x8bnothing")
    assert "is damaged" in refused(broken)
    broken.write_bytes(b"t,input_tokens,output_tokens\n\xff\xfe,1,1\n")
    assert "is no text in UTF-8" in refused(broken)
    broken.write_text(ROWS.replace("7,1000,100", "7,1000,much", 1))
    assert f"{broken}:9: output_tokens: `much` where a whole number" in refused(broken)


def test_one_endless_line_is_refused(
    terminal: Terminal, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_LINE", 20)
    said = terminal("size", "--trace", trace, "--model", "gpt-4o")
    assert f"{trace}:1: the line is longer than 20 characters" in said.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "gpt4o"), "did you mean `gpt-4o`?"),
        (
            ("--model", "gpt-4o", "--deployment-type", "zone"),
            "accepted: Global, DataZone, Regional",
        ),
        (("--model", "gpt-4o", "--spill", "1", "--p99-wait", "2s"), "give one of"),
        (("--model", "gpt-4o", "--currency", "eur"), "`eur` is not a currency"),
        (("--model", "gpt-4o", "--max-units", "15", "--spill", "0"), "no count up to 15 units"),
    ],
)
def test_a_question_without_an_answer_is_refused_in_words(
    terminal: Terminal, trace: Path, options: tuple[str, ...], said: str
) -> None:
    answer = terminal("size", "--trace", trace, *options)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err
