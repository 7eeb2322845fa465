"""The bill as a table, explained, as JSON and as a CSV file."""

from __future__ import annotations

import csv
import json
from decimal import Decimal

import pytest

from plinth.domain.usage import Gap
from tests.cli.terminal import Terminal
from tests.control.test_metering import CHAT, access_log, line


@pytest.fixture
def used(terminal: Terminal) -> Terminal:
    plane = terminal.service.plane
    run = plane.submit()
    plane.until(lambda: plane.run(run).phase == "running")
    plane.step(7200)
    plane.parts.metering.collect()
    plane.step(10)
    return terminal


def test_the_bill_says_its_period_its_lines_and_the_total(used: Terminal) -> None:
    said = used("bill")
    assert "From 2026-01-01 00:00 to 2026-01-01 02:00 UTC, so far" in said.out
    assert all(word in said.out for word in ("research", "job/train", "0.07", "USD", "TOTAL"))
    assert "still running" in said.out
    assert "counted up to when it was last seen" in said.err


def test_an_explained_bill_shows_every_multiplication_and_its_price(used: Terminal) -> None:
    out = used("bill", "--explain").out
    assert "local.cpu_hour: 7,200 CPU-seconds / 3600 x 0.033 USD = 0.066 USD" in out
    assert "(still running, seen 2026-01-01 02:00)" in out
    assert "Azure list prices" in out


def test_tokens_are_explained_with_what_is_estimated_and_what_has_no_price(
    terminal: Terminal,
) -> None:
    plane = terminal.service.plane
    plane.apply(name="chat")
    price = ("endpoint/chat.output_tokens", "20000", "--currency", "USD", "--from", "2026-01-01")
    assert terminal("prices", "set", *price).code == 0
    lines = [
        line(id="q1", **{**CHAT, "usage": None}, served="chat.azure"),
        line(id="q2", **CHAT, served="chat.azure"),
    ]
    access_log(plane).write_bytes(b"".join(lines))
    plane.parts.metering.collect()
    since = ("--from", "2026-01-01", "--to", "2026-01-02")
    out = terminal("bill", "--explain", *since).out
    tokens = "output tokens{} / 1000000 x 20000 USD ="
    assert f"endpoint/chat.output_tokens: 30 {tokens.format('')} 0.6 USD" in out
    assert f"endpoint/chat.output_tokens: 5 {tokens.format(' (estimated)')} 0.1 USD" in out
    assert "90 input tokens, unpriced: what `azure` charges is its provider's" in out
    file = terminal.home / "bill.csv"
    terminal("bill", "--csv", str(file), *since)
    with file.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [
        (row["PricingQuantity"], row["PricingUnit"], row["ConsumedQuantity"])
        for row in rows
        if row["SkuId"] == "endpoint/chat.output_tokens"
    ] == [("0.00003", "million output tokens", "30"), ("0.000005", "million output tokens", "5")]


def test_less_than_a_cent_is_not_shown_as_nothing(terminal: Terminal) -> None:
    plane = terminal.service.plane
    run = plane.submit()
    plane.until(lambda: plane.run(run).phase == "running")
    plane.step(30)
    plane.parts.metering.collect()
    shown = [line.split() for line in terminal("bill").out.splitlines() if "USD" in line]
    assert [words[words.index("USD") - 1] for words in shown] == ["<0.01", "<0.01"]
    made = terminal("bill", "--json").json
    assert [each["amount"] for each in (*made["lines"], *made["totals"])] == ["0.00", "0.00"]


def test_a_bill_of_nothing_says_what_to_look_at(terminal: Terminal) -> None:
    said = terminal("bill", "--from", "2026-01-01", "--to", "2026-02-01")
    assert (said.code, "UTC\n" in said.out, "nothing was used then" in said.err) == (0, True, True)


def test_what_is_unknown_or_missing_is_said(used: Terminal) -> None:
    plane = used.service.plane
    now = plane.clock.now()
    gap = Gap(source="g", position="1", reason="Envoy was killed", started_at=now, ended_at=now)
    plane.context.ledger.commit("g", [], expected=None, cursor="1", gaps=[gap])
    # As an older Plinth recorded it.
    plane.context.ledger._connection.execute("update usage set cpu = null")
    said = used("bill", "--explain", "--to", "2026-02-01")
    assert "unknown" in said.out
    assert "unpriced: the size of the replica was not recorded" in said.out
    assert "1 line without a price" in said.err
    assert "usage may be missing from 2026-01-01 02:00 to 2026-01-01 02:00 UTC" in said.err
    assert "Envoy was killed" in said.err


def test_json_and_csv_say_the_same(used: Terminal) -> None:
    path = used.home / "bill.csv"
    made = used("bill", "--by", "team,day", "--json", "--csv", path).json
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == sum(len(line["parts"]) for line in made["lines"]) == 4
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal(made["totals"][0]["exact"])
    first = rows[0]
    assert (first["SubAccountId"], first["x_day"]) == ("research", "2026-01-01")
    assert (first["SkuId"], first["PricingUnit"], first["ListUnitPrice"]) == (
        "local.cpu_hour",
        "CPU-hour",
        "0.033",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--by", "colour"), "`colour` is no group of a bill"),
        (("--from", "2026-02-01", "--to", "2026-01-01"), "it begins before it ends"),
        (("--from", "yesterday"), "is not a day or a time"),
        (("--team", "nobody"), "there is no team `nobody`"),
        (("--csv", "/nowhere/at/all.csv"), "cannot be written"),
    ],
)
def test_bad_input_is_refused_in_words(
    used: Terminal, arguments: tuple[str, ...], said: str
) -> None:
    answer = used("bill", *arguments)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err
    assert said in json.loads(used("bill", *arguments, "--json").err)["error"]["message"]
