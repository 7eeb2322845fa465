"""The verb `tokens`: what a model's tokens cost at its provider, with every multiplication."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from plinth.catalog.token_price_file import read_own_prices
from plinth.catalog.token_prices import (
    STANDARD,
    TokenModel,
    TokenPriceBook,
    load_token_prices,
    with_own_prices,
)
from plinth.cli.output import console, counted, note, print_json, print_table
from plinth.cli.session import JsonOption
from plinth.cli.verb import verb
from plinth.domain.token_cost import Rate, TokenCost, TokenLine, TokenPrice, cost_of
from plinth.domain.tokens import TokenMeter, TokenUsage, parse_meter
from plinth.kit.errors import Invalid, NotFound

Json = dict[str, Any]

# More than any file of prices that a person writes.
_MOST_BYTES = 1_000_000


def tokens(  # noqa: PLR0913 - one parameter for each option that a person may give
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Such as `gpt-4o`; without it: a list")
    ] = None,
    *,
    provider: Annotated[
        str | None, typer.Option(help="Who sells it, like `azure` [default: who makes it]")
    ] = None,
    input_tokens: Annotated[
        int | None, typer.Option("--input", metavar="N", help="Input tokens of one request")
    ] = None,
    output_tokens: Annotated[
        int | None, typer.Option("--output", metavar="N", help="Output tokens of one request")
    ] = None,
    cached: Annotated[
        int | None,
        typer.Option("--cached", metavar="N", help="How many of the input came from a cache"),
    ] = None,
    counts: Annotated[
        list[str] | None,
        typer.Option(
            "--count", metavar="METER=N", help="Another one, like `cache_write_tokens=90`"
        ),
    ] = None,
    requests: Annotated[int, typer.Option(metavar="N", help="How many such requests")] = 1,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Day or time in UTC [default: now]")
    ] = None,
    tier: Annotated[
        str | None, typer.Option(help="How it is sold, like `batch` [default: standard]")
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option("--prices", metavar="FILE", help="Your own prices, which go first"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a model's tokens cost at its provider, or list its prices.

    Needs no running Plinth. `--input` counts all of the input, cached tokens included. These are
    what others ask for their models; what this machine costs is `plinth prices`.
    """
    book = _book(prices)
    moment = _moment(at)
    usage = _usage(input_tokens, output_tokens, cached, counts or [])
    if model is None:
        if usage is not None:
            raise Invalid("say of which model these are", hint="`plinth tokens MODEL --input N`")
        _list(book, provider, moment, as_json=as_json)
        return
    found = book.find(model, provider)
    if usage is None:
        _show_rows(found, _shown_rows(book, found, tier), as_json=as_json)
        return
    cost = cost_of(usage, book.price(found, moment, tier), requests)
    if as_json:
        print_json(_cost_json(cost, moment))
    else:
        _show_cost(cost, moment)


def _book(file: Path | None) -> TokenPriceBook:
    if file is None:
        return load_token_prices()
    try:
        with file.open("rb") as stream:
            content = stream.read(_MOST_BYTES)
    except OSError as err:
        raise Invalid(
            f"`{file}` cannot be read: {err.strerror}", hint="give the path of a file of prices"
        ) from err
    return with_own_prices(read_own_prices(content, str(file)))


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC).replace(second=0, microsecond=0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as err:
        raise Invalid(
            f"`--at` is `{text[:40]}`; a day like `2026-11-01` or a time like "
            "`2026-11-01T14:30` is accepted"
        ) from err
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _usage(
    input_tokens: int | None, output_tokens: int | None, cached: int | None, counts: list[str]
) -> TokenUsage | None:
    named = {
        TokenMeter.INPUT: input_tokens,
        TokenMeter.OUTPUT: output_tokens,
        TokenMeter.CACHED_INPUT: cached,
    }
    quantities = {meter: number for meter, number in named.items() if number is not None}
    for text in counts:
        meter, number = _count(text)
        if meter in quantities:
            raise Invalid(f"`{meter}` was given twice")
        quantities[meter] = number
    if not quantities:
        return None
    for meter in tuple(quantities):
        whole = {"input": TokenMeter.INPUT, "output": TokenMeter.OUTPUT}.get(meter.direction or "")
        if whole is not None and whole not in quantities:
            option = f"--{meter.direction}"
            raise Invalid(
                f"`{meter}` is a part of `{whole}`, which was not given",
                hint=f"`{option} N` counts all of them",
            )
    return TokenUsage(quantities)


def _count(text: str) -> tuple[TokenMeter, int]:
    name, _, number = text.partition("=")
    meter = parse_meter(name.strip())
    try:
        return meter, int(number)
    except ValueError as err:
        raise Invalid(
            f"`--count {text[:60]}` has no whole number behind `=`",
            hint=f"write it like `--count {meter}=100`",
        ) from err


def _list(book: TokenPriceBook, provider: str | None, moment: datetime, *, as_json: bool) -> None:
    if provider is None:
        names = book.providers()
        rows = [{"provider": name, "models": len(book.models(name))} for name in names]
        if as_json:
            print_json(rows)
            return
        print_table(
            ["PROVIDER", ">MODELS"], [list(row.values()) for row in rows], empty="no providers"
        )
        note("`plinth tokens --provider NAME` lists its models")
        return
    name = book.provider(provider)
    listed = [_listed(book, model, moment) for model in book.models(name)]
    if as_json:
        print_json(listed)
        return
    print_table(
        ["MODEL", ">INPUT", ">CACHED", ">OUTPUT", "CURRENCY", "TIERS"],
        [list(row.values()) for row in listed],
        empty=f"no models of `{name}`",
    )
    note("prices are for 1,000,000 tokens; `plinth tokens MODEL` shows all of a model")
    makers = ", ".join(book.makers(name))
    if makers:
        note(f"`{name}` sells models of {makers} too; where no price is here, theirs is shown")


def _listed(book: TokenPriceBook, found: TokenModel, moment: datetime) -> Json:
    tiers = sorted({row.tier for row in book.rows(found) if row.tier})
    try:
        price = book.price(found, moment)
    except NotFound:
        price = None
    rates = {} if price is None else price.rates
    wanted = (TokenMeter.INPUT, TokenMeter.CACHED_INPUT, TokenMeter.OUTPUT)
    return {
        "model": found.name,
        **{meter.value: _base(rates.get(meter)) for meter in wanted},
        "currency": price.currency if price is not None and rates else None,
        "tiers": ", ".join(tiers),
    }


def _base(rate: Rate | None) -> str | None:
    return None if rate is None else f"{rate.base:f}"


def _shown_rows(
    book: TokenPriceBook, found: TokenModel, tier: str | None
) -> tuple[TokenPrice, ...]:
    rows = book.rows(found)
    if tier is None:
        return rows
    chosen = tuple(row for row in rows if (row.tier or STANDARD) == tier)
    if not chosen:
        names = sorted({row.tier or STANDARD for row in rows})
        raise NotFound(
            f"`{found.name}` of `{found.provider}` has no tier `{tier[:40]}`; "
            f"known: {', '.join(names)}"
        )
    return chosen


def _show_rows(found: TokenModel, rows: tuple[TokenPrice, ...], *, as_json: bool) -> None:
    if as_json:
        print_json([_price_json(row) for row in rows])
        return
    console().print(f"{found.name} of {found.provider}\n", markup=False)
    table = [
        [
            row.tier or STANDARD,
            meter.value,
            _rate_text(rate),
            row.currency,
            f"{meter.per:,}",
            *_when(row),
        ]
        for row in rows
        for meter, rate in row.rates.items()
    ]
    print_table(
        ["TIER", "METER", ">PRICE", "CURRENCY", ">FOR", "FROM", "HOURS (UTC)"],
        table,
        empty=f"no price for tokens of `{found.name}` is known",
    )
    if rows:
        note(_origin(rows[-1]))
    if table and any(row.tier for row in rows):
        note("a meter that a tier does not name costs its standard price")


def _when(row: TokenPrice) -> tuple[str, str]:
    hours = "" if row.daily is None else f"{row.daily[0]:%H:%M}-{row.daily[1]:%H:%M}"
    return (row.valid_from.isoformat() if row.valid_from else ""), hours


def _rate_text(rate: Rate) -> str:
    steps = "".join(f"; above {start:,} input tokens {price:f}" for start, price in rate.steps)
    return f"{rate.base:f}{steps}"


def _show_cost(cost: TokenCost, moment: datetime) -> None:
    price = _known_price(cost)
    since = f" (from {price.valid_from} on)" if price.valid_from else ""
    console().print(
        f"{price.model} of {price.provider}, {price.tier or STANDARD} price at "
        f"{moment:%Y-%m-%d %H:%M} UTC{since}, {counted(cost.requests, 'request')}\n",
        markup=False,
    )
    rows = [
        [
            line.meter.value,
            f"{line.quantity:,}",
            _text(line.unit_price),
            f"{line.meter.per:,}",
            _text(line.amount),
            price.currency,
            _remark(line),
        ]
        for line in cost.lines
    ]
    rows.append(["TOTAL", "", "", "", _text(cost.amount), price.currency, ""])
    columns = ["METER", ">QUANTITY", ">x PRICE", ">FOR", ">= AMOUNT", "CURRENCY", "REMARK"]
    print_table(columns, rows, empty="")
    if cost.why_unknown:
        note(f"the total is unknown: {cost.why_unknown}; what is known costs {_text(cost.known)}")
    note(_origin(price))


def _known_price(cost: TokenCost) -> TokenPrice:
    if cost.price is None:
        raise NotFound(str(cost.why_unknown))
    return cost.price


def _text(amount: Decimal | None) -> str:
    """Return an amount with all of its decimals, two at least."""
    if amount is None:
        return "unknown"
    whole, _, decimals = f"{amount:,f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def _remark(line: TokenLine) -> str:
    parts = []
    if line.step is not None:
        parts.append(f"more than {line.step:,} input tokens")
    if line.includes:
        parts.append(f"with {', '.join(line.includes)}")
    return "; ".join(parts)


def _origin(price: TokenPrice) -> str:
    whose = "" if price.priced_by == price.provider else f" of `{price.priced_by}`"
    other = f"; also priced by {', '.join(price.other)}, not counted here" if price.other else ""
    text = f"price{whose}: {price.source}{other}"
    if whose:
        text += f"; none of `{price.provider}`'s own is known, regions and contracts may differ"
    return text


def _cost_json(cost: TokenCost, moment: datetime) -> Json:
    price = _known_price(cost)
    return {
        "model": price.model,
        "provider": price.provider,
        "at": moment.isoformat(),
        "requests": cost.requests,
        "amount": _plain(cost.amount),
        "known": _plain(cost.known),
        "currency": price.currency,
        "why_unknown": cost.why_unknown,
        "lines": [_line_json(line) for line in cost.lines],
        "price": _price_json(price),
    }


def _line_json(line: TokenLine) -> Json:
    return {
        "meter": line.meter.value,
        "quantity": line.quantity,
        "unit_price": _plain(line.unit_price),
        "per": line.meter.per,
        "amount": _plain(line.amount),
        "above_input_tokens": line.step,
        "includes": [part.value for part in line.includes],
    }


def _price_json(price: TokenPrice) -> Json:
    hours = _when(price)[1]
    return {
        "model": price.model,
        "provider": price.provider,
        "priced_by": price.priced_by,
        "tier": price.tier or STANDARD,
        "valid_from": price.valid_from.isoformat() if price.valid_from else None,
        "hours_utc": hours or None,
        "currency": price.currency,
        "rates": {meter.value: _rate_json(meter, rate) for meter, rate in price.rates.items()},
        "also_priced_by": list(price.other),
        "source": price.source,
    }


def _rate_json(meter: TokenMeter, rate: Rate) -> Json:
    steps = [{"above_input_tokens": start, "amount": _plain(above)} for start, above in rate.steps]
    return {"amount": _plain(rate.base), "per": meter.per, "steps": steps}


def _plain(amount: Decimal | None) -> str | None:
    if amount is None:
        return None
    # `normalize` would round what has more than 28 digits.
    whole, _, decimals = f"{amount:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0')}".rstrip(".")


COMMANDS = {"tokens": verb(tokens, "tokens")}
