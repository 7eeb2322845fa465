"""An advice is told in words: sums, ranges, reasons, and what nobody knows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from plinth.domain.plan import CostLine, MonthCost
from plinth.planning.advice import make_advice
from plinth.planning.advice_words import (
    arithmetic,
    assumptions,
    cost_words,
    hours_words,
    money_words,
    others,
    part_row,
    range_words,
    rejected_rows,
    require_feasible,
    summary,
)
from plinth.planning.explain import NoPlatformFits
from tests.planning.applications import MARKET, application

TRAINED = {"resources": {"cpu": 4}, "demand": {"runs": 8, "duration": "2h"}}
ADVICE = make_advice(
    application(requirements={"regions": ["westeurope"]}, train=TRAINED, online={"format": "onnx"}),
    MARKET,
)
NOWHERE = make_advice(application(train={"resources": {"cpu": 9000}}), MARKET)


def cost(*lines: CostLine) -> MonthCost:
    return MonthCost(currency="USD", lines=lines)


def line(amount: str | None, low: str | None = None, high: str | None = None) -> CostLine:
    def decimal(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    return CostLine(
        what="x",
        amount=decimal(amount),
        low=decimal(low),
        high=decimal(high),
        estimated=low is not None,
        how="2 x 3; assumed",
    )


def test_amounts_are_rounded_to_the_coin_only_when_they_are_shown() -> None:
    assert money_words(Decimal("1234.565"), "USD") == "1,234.56 USD"
    assert money_words(Decimal("1234.5"), "JPY") == "1,234 JPY"
    assert money_words(None, "USD") == "unknown"


def test_a_range_stands_beside_what_is_estimated() -> None:
    known, estimated = cost(line("5")), cost(line("5", "4", "8"), line("1"))
    assert (cost_words(known), range_words(known)) == ("5.00 USD", "")
    assert (cost_words(estimated), range_words(estimated)) == ("~6.00 USD", "5.00 to 9.00 USD")
    unknown = cost(line("5", "4", "8"), line(None))
    assert (cost_words(unknown), range_words(unknown)) == ("unknown", "from 4.00 USD")
    assert cost_words(None) == range_words(None).join(["unknown"])


def test_hours_that_nobody_knows_are_unknown() -> None:
    assert (hours_words(3.5), hours_words(None)) == ("3.5 h", "unknown")


def test_every_part_is_a_row_and_the_sum_a_sentence() -> None:
    rows = [part_row(part) for part in ADVICE.parts]
    assert [row[0] for row in rows] == ["train", "online"]
    assert summary(ADVICE).startswith("`app` fits: ")
    assert "home in westeurope" in summary(ADVICE)


def test_ways_that_are_answered_alike_share_a_row() -> None:
    for part in ADVICE.parts:
        rows = rejected_rows(part)
        assert len({(row[0], row[2], row[4]) for row in rows}) == len(rows)
        named = {row[0] for row in rows} | set(others(part))
        assert named == {each.platform for each in part.rejected}


def test_what_was_assumed_is_told_once() -> None:
    assert arithmetic(line("5")) == "2 x 3"
    assumed = assumptions(ADVICE)
    assert assumed
    assert len(assumed) == len(set(assumed))


def test_what_fits_nowhere_is_an_error_with_the_nearest_reasons() -> None:
    require_feasible(ADVICE, [])
    with pytest.raises(NoPlatformFits) as refused:
        require_feasible(NOWHERE, ["for `train`, `train.resources.cpu: 8` admits `local`"])
    text = str(refused.value)
    assert text.startswith("no platform fits `train`")
    assert "needs 9000 cores" in text
    assert refused.value.hint is not None
    assert "train.resources.cpu: 8" in refused.value.hint
    with pytest.raises(NoPlatformFits, match="no platform fits"):
        require_feasible(NOWHERE, [])
    assert part_row(NOWHERE.parts[0])[1] == "no platform fits"
