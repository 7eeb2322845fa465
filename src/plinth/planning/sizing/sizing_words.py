"""A sizing in words and rows, for terminals and pages, and as JSON for programs.

Nothing here prints or knows of colours. Money is rounded here and nowhere before: base and burst
each to the smallest coin, and the total is their sum, so that what is shown adds up.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from plinth.domain.money import coin_digits
from plinth.planning.sizing.sizing import OTHER_WINDOW_S, Halves, Mix, Share, Sizing
from plinth.planning.sizing.sizing_inputs import Inputs, percent

MIX_COLUMNS = ("", ">UNITS", ">REQUESTS SPILLED", ">TOKENS SPILLED", ">BASE", ">BURST", ">TOTAL")
HALF_COLUMNS = ("THE SAME UNITS IN", ">REQUESTS SPILLED", ">TOKENS SPILLED")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Words:
    """What to show: a headline, tables of texts, sentences, cautions."""

    headline: str
    mixes: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]
    halves: tuple[tuple[str, ...], ...]
    trial: str
    cautions: tuple[str, ...]


def describe_sizing(inputs: Inputs, sizing: Sizing) -> Words:
    """Say what the answer is and why."""
    return Words(
        headline=_headline(inputs, sizing),
        mixes=tuple(_mix_row(name, mix, sizing) for name, mix in _named(sizing)),
        sentences=tuple(_sentences(sizing)),
        halves=_half_rows(sizing.halves),
        trial=_trial(sizing),
        cautions=(*inputs.cautions, *_more_cautions(sizing)),
    )


def to_json(inputs: Inputs, sizing: Sizing) -> dict[str, Any]:
    """Return the answer as JSON: money as text, shares as numbers from 0 to 1."""
    model, goal = inputs.model, sizing.question.goal
    waits = sizing.waits
    return {
        "model": model.model,
        "version": model.version,
        "deployment_type": model.deployment_type,
        "currency": sizing.question.prices.currency,
        "requests": len(sizing.question.arrivals),
        "span_s": sizing.question.arrivals.span_s,
        "goal": {
            "spilled_share": None if goal.spilled_share is None else float(goal.spilled_share),
            "patience_s": goal.patience_s,
        },
        "chosen": _mix_json(sizing.chosen, sizing),
        "cheapest": _mix_json(sizing.cheapest, sizing),
        "all_burst": _mix_json(sizing.burst_only, sizing),
        "all_provisioned": _mix_json(sizing.provisioned, sizing),
        "break_even_share": None if sizing.break_even is None else float(sizing.break_even),
        "busy_share": sizing.busy_share,
        "waits_s": waits and {"p50": waits.p50_s, "p99": waits.p99_s, "longest": waits.longest_s},
        "halves": _halves_json(sizing.halves),
        "units_if_window_10_s": sizing.other_window and sizing.other_window.units,
        "curve": [_mix_json(mix, sizing) for mix in sizing.curve],
        "assumptions": [
            {"what": each.what, "value": each.value, "source": each.source}
            for each in inputs.assumptions
        ],
        "cautions": [*inputs.cautions, *_more_cautions(sizing)],
    }


def coins(amount: Fraction, currency: str) -> Decimal:
    """Round to the currency's smallest coin, halves to the even one."""
    digits = coin_digits(currency)
    return Decimal(round(amount * 10**digits)).scaleb(-digits)


def base_burst_total(
    mix: Mix, currency: str
) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Return what a mix costs a month, rounded so that it adds up. None: unknown."""
    base = None if mix.base is None else coins(mix.base, currency)
    burst = None if mix.burst is None else coins(mix.burst, currency)
    return base, burst, None if base is None or burst is None else base + burst


def _named(sizing: Sizing) -> list[tuple[str, Mix]]:
    found = [("chosen", sizing.chosen)]
    if sizing.cheapest is not None and sizing.cheapest.units not in (0, sizing.chosen.units):
        found.append(("cheapest without the goal", sizing.cheapest))
    found.append(("all burst", sizing.burst_only))
    if sizing.provisioned is not None:
        found.append(("all provisioned", sizing.provisioned))
    return found


def _mix_row(name: str, mix: Mix, sizing: Sizing) -> tuple[str, ...]:
    amounts = base_burst_total(mix, sizing.question.prices.currency)
    goal = "" if mix.is_within_goal else " (misses the goal)"
    return (
        f"{name}{goal}",
        f"{mix.units:,}",
        percent(mix.share.requests),
        percent(mix.share.tokens),
        *(UNKNOWN if each is None else f"{each:,f}" for each in amounts),
    )


def _headline(inputs: Inputs, sizing: Sizing) -> str:
    chosen, model = sizing.chosen, inputs.model
    name = f"{model.model} {model.version}, {model.deployment_type}"
    units = f"{chosen.units:,} provisioned units" if chosen.units else "no provisioned units"
    spilled = chosen.share.requests
    burst = f"burst for {percent(spilled)} of requests" if spilled else "no burst"
    total = base_burst_total(chosen, sizing.question.prices.currency)[2]
    cost = (
        "cost unknown" if total is None else f"{total:,f} {sizing.question.prices.currency} a month"
    )
    return f"{name}: {units}, {burst}, {cost}"


def _sentences(sizing: Sizing) -> list[str]:
    found = [_break_even_words(sizing)] if sizing.break_even is not None else []
    if sizing.chosen.units:
        found.append(f"The chosen units have work in {percent(sizing.busy_share)} of the time.")
    if sizing.waits and sizing.question.goal.patience_s:
        found.append(
            f"Requests that units serve wait {sizing.waits.p50_s:.2f} s in the median, "
            f"{sizing.waits.p99_s:.2f} s at p99, {sizing.waits.longest_s:.2f} s at most."
        )
    found += _price_of_goal(sizing)
    found += _other_window_words(sizing)
    return found


def _other_window_words(sizing: Sizing) -> list[str]:
    window_s, other = sizing.question.capacity.window_s, sizing.other_window
    if window_s == OTHER_WINDOW_S:
        return []
    if other is None:
        answer = "no count would keep to the goal"
    elif other.units == sizing.chosen.units:
        answer = "the answer would be the same"
    else:
        answer = f"{other.units:,} units would be chosen"
    return [
        f"If 100 % were what units drain in {OTHER_WINDOW_S:g} s, not {window_s:g} s, {answer}."
    ]


def _break_even_words(sizing: Sizing) -> str:
    share = sizing.break_even or Fraction(0)
    if share > 1:
        return (
            f"By price alone no unit pays off: used without a pause, it costs {float(share):.2f} "
            "times what burst costs for the same tokens. Units buy guaranteed throughput here."
        )
    return (
        f"A unit pays off when more than {percent(share)} of it is used; below, burst is cheaper."
    )


def _price_of_goal(sizing: Sizing) -> list[str]:
    chosen, cheapest = sizing.chosen, sizing.cheapest
    if cheapest is None or chosen.total is None or cheapest.total is None:
        return []
    if chosen.units == cheapest.units:
        return ["No count of units is cheaper."]
    currency = sizing.question.prices.currency
    more = coins(chosen.total - cheapest.total, currency)
    units = f"{cheapest.units:,} units" if cheapest.units else "burst alone"
    return [f"The goal costs {more:,f} {currency} a month: without it, {units} would be cheapest."]


def _half_rows(halves: Halves | None) -> tuple[tuple[str, ...], ...]:
    if halves is None:
        return ()
    named = (
        ("first half (predicted)", halves.predicted),
        ("second half (observed)", halves.observed),
        ("whole trace (observed)", halves.whole),
    )
    return tuple((name, percent(share.requests), percent(share.tokens)) for name, share in named)


def _trial(sizing: Sizing) -> str:
    halves, chosen = sizing.halves, sizing.chosen
    if halves is None:
        return "The halves of the trace are too thin to size from one and try on the other."
    if not halves.units and not chosen.units:
        return "Sized from the first half alone the answer is the same: burst alone."
    grew = halves.second_rate / halves.first_rate - 1 if halves.first_rate else 0.0
    more = f"{abs(grew):.0%} {'more' if grew >= 0 else 'fewer'}".replace("%", " %")
    units = f"{halves.units:,} units" if halves.units else "no units"
    first, second = (percent(share.requests) for share in halves.chosen)
    of_chosen = (
        f" The chosen {chosen.units:,} spill {first} of the first half, {second} of the second."
    )
    return (
        f"Sized from the first half alone: {units}, which predicts that "
        f"{percent(halves.predicted.requests)} of the second half's requests spill; "
        f"{percent(halves.observed.requests)} did. The second half has {more} tokens a minute."
        + (of_chosen if chosen.units not in (0, halves.units) else "")
    )


def _more_cautions(sizing: Sizing) -> list[str]:
    if sizing.provisioned is None:
        most = sizing.question.capacity.most
        return [f"even {most:,} units spill; more are not considered (`--max-units`)"]
    return []


def _mix_json(mix: Mix | None, sizing: Sizing) -> dict[str, Any] | None:
    if mix is None:
        return None
    amounts = base_burst_total(mix, sizing.question.prices.currency)
    base, burst, total = (None if each is None else f"{each:f}" for each in amounts)
    return {
        "units": mix.units,
        **_share_json(mix.share),
        "base_per_month": base,
        "burst_per_month": burst,
        "total_per_month": total,
        "is_within_goal": mix.is_within_goal,
    }


def _share_json(share: Share) -> dict[str, Any]:
    return {
        "spilled_requests": share.spilled.requests,
        "spilled_requests_share": float(share.requests),
        "spilled_tokens_share": float(share.tokens),
    }


def _halves_json(halves: Halves | None) -> dict[str, Any] | None:
    if halves is None:
        return None
    return {
        "units": halves.units,
        "first_half_predicted": _share_json(halves.predicted),
        "second_half_observed": _share_json(halves.observed),
        "whole": _share_json(halves.whole),
        "first_half_tokens_per_minute": halves.first_rate,
        "second_half_tokens_per_minute": halves.second_rate,
        "chosen_in_first_half": _share_json(halves.chosen[0]),
        "chosen_in_second_half": _share_json(halves.chosen[1]),
    }
