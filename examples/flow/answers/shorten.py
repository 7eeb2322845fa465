"""The last node: the first sentence of what the model said."""

from promptflow.core import tool


@tool
def shorten(text: str) -> str:
    """Return the first sentence."""
    first = text.strip().split("\n")[0]
    return first.split(". ")[0].rstrip(".")
