"""Render docs/reference/errors.md from the codes that errors carry."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from plinth.kit.error_codes import CODES

SOURCE = Path(__file__).parents[2] / "src" / "plinth"
INTRODUCTION = """\
<!-- Written by `python -m tools.docs_reference` from src/plinth/kit/error_codes.py. -->

# Error codes

Every error has a code that never changes, a message with what is allowed, and a hint:

```console
$ curl -s http://127.0.0.1:8470/api/v1/runs
```

```json
{"error": {"code": "unauthenticated", "message": "this request carries no key", "hint": "..."}}
```

On `/v2/...` addresses the Open Inference Protocol has its own shape, `{"error": "message"}`. The
command line prints `error:` and `hint:` on standard error and ends with 1. A status of 4xx is the
caller's to mend, 5xx is ours; 503 comes with `Retry-After`,
and so does 429 where waiting helps: not to a request that a limit can never admit, which says so.

| code | status | meaning and what to do |
|---|---|---|
"""
# Where a code stands besides `code=` and `code = `: the replies of the gateway and of the API.
_SECOND_ARGUMENT = ("_Reply", "_answer")
_KEY_REFUSAL = ("tokens.py", "_refusal")
_REASON = re.compile(r"[a-z][a-z_]*[a-z]")


def errors_page() -> str:
    """Return the page as it must be."""
    rows = [f"| `{code}` | {each.status} | {each.text} |" for code, each in sorted(CODES.items())]
    return INTRODUCTION + "\n".join(rows) + "\n"


def used_codes() -> set[str]:
    """Return every code that the source gives to an error."""
    found: set[str] = set()
    for path in sorted(SOURCE.rglob("*.py")):
        found |= set(_codes_in(ast.parse(path.read_text(encoding="utf-8")), path.name))
    return found


def _codes_in(tree: ast.Module, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword | ast.Assign) and _is_code(node):
            yield from _texts(node.value)
        elif isinstance(node, ast.Call):
            function = getattr(node.func, "id", "")
            if function in _SECOND_ARGUMENT:
                yield from _texts(node.args[1])
            elif (name, function) == _KEY_REFUSAL:
                yield from (f"key_{reason}" for reason in _texts(node.args[1]))


def _is_code(node: ast.keyword | ast.Assign) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == "code"
    return ast.unparse(node.targets[0]) == "code"


def _texts(value: ast.expr) -> Iterator[str]:
    """Yield the codes that stand in `value`; what is computed is another error's, or none."""
    if isinstance(value, ast.IfExp):
        yield from _texts(value.body)
        yield from _texts(value.orelse)
    elif isinstance(value, ast.Call):
        chosen = getattr(value.func, "value", None)
        for each in (*chosen.values, *value.args) if isinstance(chosen, ast.Dict) else ():
            yield from _texts(each)
    elif isinstance(value, ast.Constant) and _REASON.fullmatch(str(value.value)):
        yield str(value.value)
