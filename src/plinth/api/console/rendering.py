"""Templates and what they call: every value is escaped, and a page loads only what is ours.

Names, logs and answers of models are other people's words. Jinja escapes them, no template marks
one as safe, and the headers let a browser run no script but the console's own file. Only `coded`
adds marks of its own, to what it has escaped itself.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from plinth.kit.page import HEADERS
from plinth.kit.units import format_bytes

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_COIN = Decimal("0.01")
_THOUSAND, _LITTLE = 1000, 0.0001
_WITHIN = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NAME, _AS_CODE = re.compile(r"`([^`]+)`"), r"<code>\1</code>"


def rendered(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return the page that a template makes of `values`."""
    text = _environment().get_template(template).render(**values)
    headers = {**HEADERS, "content-security-policy": _POLICY}
    return HTMLResponse(text, status_code=status, headers=headers)


def age(since: str | datetime | None, now: datetime) -> str:
    """Return for how long something has been, in the largest unit that says enough: `3 h`."""
    if since is None:
        return ""
    began = since if isinstance(since, datetime) else datetime.fromisoformat(since)
    return duration((now - began).total_seconds())


def duration(seconds: float) -> str:
    """Return seconds as people say them: `42 s`, `7 min`, `3 h`, `12 d`."""
    for size, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def moment(at: str | datetime | None) -> str:
    """Return a time to the second, in UTC; empty where there is none."""
    if at is None:
        return ""
    when = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    return when.strftime("%Y-%m-%d %H:%M:%S")


def amount(cost: Mapping[str, Any] | None) -> str:
    """Return money so that little is not shown as nothing: `12.40 EUR`, `0.00031 EUR`."""
    if cost is None or cost.get("exact") is None:
        return ""
    value, currency = Decimal(cost["exact"]), cost["currency"]
    if value == 0 or abs(value) >= _COIN:
        return f"{value:.2f} {currency}"
    return f"{value:.2g} {currency}" if abs(value) >= Decimal("0.0001") else f"<0.0001 {currency}"


def number(value: float | Decimal) -> str:
    """Return how much it is, without an exponent: `1,234,567`, `0.25`, `<0.0001`."""
    size = abs(float(value))
    if size >= _THOUSAND:
        return f"{value:,.0f}"
    return f"{float(value):.4g}" if size == 0 or size >= _LITTLE else f"<{_LITTLE}"


def counted(quantity: int | str, unit: str) -> str:
    """Return how many of a unit: `1 request`, `7 requests`, `0.25 CPU-seconds`.

    A number is written with its thousands, a text is one that was written already.
    """
    said = quantity if isinstance(quantity, str) else f"{quantity:,}"
    return f"{said} {unit}" if said == "1" else f"{said} {unit}s"


def reason(code: str) -> str:
    """Return a reason such as `DeploymentFailed` for people: `deployment failed`."""
    return _WITHIN.sub(" ", code).lower()


def measured(value: float) -> str:
    """Return a metric's value; MLflow keeps the largest float there is for what is infinite."""
    if math.isnan(value):
        return "no number"
    if abs(value) >= sys.float_info.max:
        return "infinite" if value > 0 else "-infinite"
    return f"{value:.6g}"


def coded(text: str) -> Markup:
    """Return a sentence with what stands in backticks as code; everything in it is escaped."""
    return Markup(_NAME.sub(_AS_CODE, str(escape(text))))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("plinth.api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "age": age,
        "amount": amount,
        "bytes": format_bytes,
        "coded": coded,
        "counted": counted,
        "duration": duration,
        "measured": measured,
        "number": number,
        "reason": reason,
        "moment": moment,
    }
    return made
