"""A sizing as one page of HTML, with the curve and the traffic drawn in SVG; it loads nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape

from plinth.cli.size_text import mix_columns
from plinth.planning.sizing.sizing import Mix, Sizing
from plinth.planning.sizing.sizing_inputs import Inputs, percent
from plinth.planning.sizing.sizing_words import HALF_COLUMNS, Words
from plinth.planning.sizing.spill import Load

_CODE = re.compile(r"`([^`]+)`")
_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 20, 18, 44
_MOST_BARS = 120
_TICKS = 4
_TIMES = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif;
  --line: light-dark(#d5d8dd, #3a3e45); --base: light-dark(#1f6fb2, #5aa9e6);
  --burst: light-dark(#e0962d, #f0b35c); --good: light-dark(#1c7c3c, #5fcf86);
  --soft: light-dark(#5b626c, #a6adb8); }
body { background: light-dark(#fff, #16181c); color: light-dark(#1b1e23, #e8eaee);
  margin: 0 auto; max-width: 56rem; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.3; margin: 0 0 .5rem; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem; }
p { margin: .5rem 0; } .soft { color: var(--soft); }
.caution { border-left: 4px solid var(--burst); padding-left: .75rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; width: 100%; }
th { color: var(--soft); font-size: .78rem; font-weight: 600; text-align: left; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .75rem .35rem 0;
  vertical-align: top; }
.right { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
svg { height: auto; max-width: 100%; } svg text { fill: var(--soft); font-size: 12px; }
.grid { stroke: var(--line); } .base { fill: var(--base); } .burst { fill: var(--burst); }
.total { fill: none; stroke: light-dark(#1b1e23, #e8eaee); stroke-width: 2; }
.chosen { stroke: var(--good); stroke-width: 2; } svg .mark { fill: var(--good); font-weight: 600; }
.flat { stroke: var(--soft); stroke-dasharray: 5 4; }
.key { display: inline-block; height: .7rem; margin-right: .35rem; width: .7rem; }
"""


def sizing_page(inputs: Inputs, sizing: Sizing, words: Words) -> str:
    """Return the whole page: the answer, the curve, the traffic, the trial, what it rests on."""
    rows = [(each.what, each.value, each.source) for each in inputs.assumptions]
    parts = [
        f"<h1>{_text(words.headline)}</h1>",
        f'<p class="soft">{len(sizing.question.arrivals):,} requests replayed, one by one.</p>',
        *(f'<p class="caution">{_text(each)}</p>' for each in words.cautions),
        _table(mix_columns(sizing), words.mixes),
        *(f"<p>{_text(each)}</p>" for each in words.sentences),
        "<h2>Break-even: every count of units</h2>",
        _curve(sizing),
        "<h2>The traffic, and what the chosen units serve</h2>",
        _traffic(sizing),
        "<h2>Trained on the first half, tried on the second</h2>",
        f"<p>{_text(words.trial)}</p>",
        _table(HALF_COLUMNS, words.halves) if words.halves else "",
        "<h2>What it rests on</h2>",
        _table(("IT RESTS ON", "VALUE", "SOURCE"), rows),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(words.headline)} - Plinth</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _text(text: str) -> str:
    """Return plain text as HTML: names in backticks as code, no line broken before a `%`."""
    return _CODE.sub(r"<code>\1</code>", escape(text)).replace(" %", "&nbsp;%")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    right = [' class="right"' if name.startswith(">") else "" for name in columns]
    head = "".join(
        f"<th{css}>{escape(name.lstrip('>'))}</th>"
        for css, name in zip(right, columns, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{css}>{_text(cell)}</td>" for css, cell in zip(right, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


class _Frame:
    """Axes of a drawing: from values to places, with grid lines and labels."""

    def __init__(self, widest: float, highest: float) -> None:
        self.widest = widest or 1.0
        self.highest = highest * 1.04 or 1.0

    def x(self, value: float) -> float:
        return round(_LEFT + value / self.widest * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        room = _HEIGHT - _TOP - _BOTTOM
        return round(_TOP + (1 - value / self.highest) * room, 1)

    def point(self, x: float, y: float) -> str:
        return f"{self.x(x)},{self.y(y)}"

    def axes(self, x_title: str) -> str:
        parts = [f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{escape(x_title)}</text>']
        for up in _ticks(self.highest):
            y = self.y(up)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
                f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{_short(up)}</text>'
            )
        parts += [
            f'<text x="{self.x(across)}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
            f"{_short(across)}</text>"
            for across in _ticks(self.widest)
        ]
        return "".join(parts)


def _ticks(highest: float) -> list[float]:
    """Return round values from 0 up to `highest`."""
    power = 10 ** math.floor(math.log10(highest / _TICKS))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each * _TICKS >= highest)
    return [step * count for count in range(int(highest / step) + 1)]


def _svg(title: str, content: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">'
        f"<title>{escape(title)}</title>{content}</svg>"
    )


def _curve(sizing: Sizing) -> str:
    """Draw cost by units: base below, burst on it; with a price unknown, what spills."""
    curve = sizing.curve
    currency = sizing.question.prices.currency
    is_priced = all(mix.total is not None for mix in curve)
    totals = [_total(mix, is_priced) for mix in curve]
    bases = [float(mix.base or 0) if is_priced else 0.0 for mix in curve]
    units = [float(mix.units) for mix in curve]
    frame = _Frame(units[-1], max(totals))
    title = f"{currency} a month by count of units" if is_priced else "% of requests that spill"
    content = frame.axes("provisioned units")
    content += _area(frame, units, bases, [0.0] * len(units), "base")
    content += _area(frame, units, totals, bases, "burst")
    line = " ".join(frame.point(x, y) for x, y in zip(units, totals, strict=True))
    content += f'<polyline class="total" points="{line}"/>'
    if is_priced:
        y = frame.y(totals[0])
        content += (
            f'<line class="flat" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}">'
            "<title>what burst alone costs</title></line>"
        )
    content += _mark(frame, sizing.chosen)
    keys = (("base", "base"), ("burst", "burst; the line is the total, dashed: burst alone"))
    legend = _legend(keys if is_priced else (("burst", "% of requests that spill"),))
    return f'<div class="scroll">{_svg(title, content)}</div>{legend}'


def _total(mix: Mix, is_priced: bool) -> float:
    return float(mix.total or 0) if is_priced else float(mix.share.requests) * 100


def _area(
    frame: _Frame, across: Sequence[float], top: Sequence[float], low: Sequence[float], css: str
) -> str:
    there = [frame.point(x, y) for x, y in zip(across, top, strict=True)]
    back = [frame.point(x, y) for x, y in zip(across, low, strict=True)]
    return f'<polygon class="{css}" points="{" ".join([*there, *reversed(back)])}"/>'


def _mark(frame: _Frame, chosen: Mix) -> str:
    x = frame.x(chosen.units)
    side, shift = ("end", -6) if chosen.units > frame.widest / 2 else ("start", 6)
    return (
        f'<line class="chosen" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        f'<text class="mark" x="{x + shift}" y="{_TOP + 12}" text-anchor="{side}">'
        f"{chosen.units:,} units</text>"
    )


def _traffic(sizing: Sizing) -> str:
    """Draw weighted tokens a minute over the trace, and what the chosen units drain."""
    question = sizing.question
    load = Load(question.arrivals, question.capacity.output_weight)
    span_s = question.arrivals.span_s
    bars = max(1, min(_MOST_BARS, int(span_s // 60)))
    sums = [0.0] * bars
    for time, weight in zip(load.times, load.weights, strict=True):
        sums[min(bars - 1, int(time / span_s * bars))] += weight
    rates = [each / (span_s / bars / 60) for each in sums]
    drained = float(sizing.chosen.units * question.capacity.input_tokens_per_minute)
    name, seconds = next(each for each in _TIMES if span_s >= 4 * each[1] or each[1] == 1)
    frame = _Frame(span_s / seconds, max(*rates, drained))
    content = frame.axes(f"{name} from the first request; weighted tokens a minute")
    wide = (_WIDTH - _LEFT - _RIGHT) / bars
    for place, rate in enumerate(rates):
        y = frame.y(rate)
        content += (
            f'<rect class="base" x="{_LEFT + place * wide:.1f}" y="{y}" '
            f'width="{max(wide - 1, 0.5):.1f}" height="{_HEIGHT - _BOTTOM - y:.1f}"/>'
        )
    if drained:
        y = frame.y(drained)
        content += f'<line class="chosen" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
    spilled = f"tokens a minute; {percent(sizing.chosen.share.tokens)} spill"
    line = "; the line is what the chosen units drain" if drained else ""
    legend = _legend((("base", spilled + line),))
    return f'<div class="scroll">{_svg("Tokens a minute", content)}</div>{legend}'


def _legend(keys: Sequence[tuple[str, str]]) -> str:
    marks = "&emsp;".join(
        f'<svg class="key" viewBox="0 0 1 1"><rect class="{css}" width="1" height="1"/></svg>'
        f"{_text(text)}"
        for css, text in keys
    )
    return f'<p class="soft">{marks}</p>'


def _short(value: float) -> str:
    for size, sign in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= size:
            return f"{value / (1e3 if sign == ' k' else size):,.3g}{sign}"
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}"
