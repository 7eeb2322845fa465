"""How a package with versions is written, as PEP 508 has it without addresses. Pure."""

from __future__ import annotations

import re

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"\s*+(?:===|==|~=|!=|<=|>=|<|>)\s*+[A-Za-z0-9.*+!_-]+\s*+"
_VERSIONS = rf"{_VERSION}(?:,{_VERSION})*,?\s*+"
# A name with extras, versions and a marker; no address, path or option.
_PACKAGE = re.compile(
    rf"{_NAME}\s*+(?:\[[A-Za-z0-9._,\s-]*\])?\s*+(?:{_VERSIONS}|\({_VERSIONS}\))?\s*+(?:;(?P<marker>.+))?"
)
_LONGEST = 1000
_MARKER_VARIABLES = (
    *("python_full_version", "python_version", "os_name", "sys_platform", "platform_release"),
    *("platform_system", "platform_version", "platform_machine", "extra"),
    *("platform_python_implementation", "implementation_name", "implementation_version"),
)
# What a marker is made of, each as one letter: values, comparisons, `and` with `or`, brackets.
_PARTS = re.compile(
    rf"\s*+(?:(?P<V>(?:{'|'.join(_MARKER_VARIABLES)})\b|'[^']*'|\"[^\"]*\")"
    r"|(?P<C>===|==|~=|!=|<=|>=|<|>|in\b|not\s+in\b)|(?P<A>and\b|or\b)|(?P<L>\()|(?P<R>\)))\s*+"
)


def is_package(text: str) -> bool:
    """Tell whether a text is a name with, perhaps, extras, versions and a marker."""
    if len(text) > _LONGEST:
        return False
    match = _PACKAGE.fullmatch(text.strip())
    return match is not None and (match["marker"] is None or _is_marker(match["marker"]))


def _is_marker(text: str) -> bool:
    letters, place = "", 0
    while place < len(text):
        match = _PARTS.match(text, place)
        if match is None:
            return False
        letters += match.lastgroup or ""
        place = match.end()
    # Comparisons become one condition (X), two joined ones and one in brackets, too.
    before = ""
    while before != letters:
        before = letters
        letters = letters.replace("VCV", "X").replace("LXR", "X").replace("XAX", "X")
    return letters == "X"
