"""A small page of HTML for people who came with a browser: what is so, and what to do next.

Whole in itself: it loads nothing and runs nothing, as its headers demand of the browser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

CONTENT_TYPE = "text/html; charset=utf-8"
# Nobody may frame a page that asks for a click, keep it, or learn from where a person came.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    # Not `no-referrer`: then a form would be sent with the origin `null`, which is a stranger's.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}

# Without `%`, which is a sign of its own in the gateway's formats.
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 18vh auto 0; max-width: 32rem; padding: 0 1.5rem; }
h1 { font-size: 1.4rem; margin: 0 0 .75rem; }
p { margin: 0 0 1rem; }
code { background: light-dark(#f0f1f3, #2b2d31); border-radius: 6px; display: inline-block;
  font: .95rem ui-monospace, monospace; padding: .1rem .5rem; user-select: all; }
button { background: #1f5fbf; border: 0; border-radius: 6px; color: #fff; cursor: pointer;
  font: inherit; padding: .5rem 1.1rem; }
button:focus-visible { outline: 3px solid #7fb0ff; outline-offset: 2px; }
"""

_NAME, _AS_CODE = re.compile(r"`([^`]+)`"), r"<code>\1</code>"


@dataclass(frozen=True, slots=True)
class Button:
    """A button that sends `fields` to `action`, a path of this host, by `method`."""

    label: str
    action: str
    method: str = "post"
    fields: tuple[tuple[str, str], ...] = ()


def page(title: str, text: str, *, command: str | None = None, button: Button | None = None) -> str:
    """Return the page. `command`: what to type on a terminal.

    Everything given is plain text, with names in backticks.
    """
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{_NAME.sub(_AS_CODE, escape(text))}</p>"]
    if command is not None:
        parts.append(f"<p><code>{escape(command)}</code></p>")
    if button is not None:
        parts.append(_form(button))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - Plinth</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _form(button: Button) -> str:
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in button.fields
    )
    return (
        f'<form method="{escape(button.method)}" action="{escape(button.action)}">{fields}'
        f"<button>{escape(button.label)}</button></form>"
    )
