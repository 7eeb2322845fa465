"""A question on the terminal and the line that answers it; what is said goes to stderr."""

from __future__ import annotations

import sys
import textwrap

from rich.console import Console
from rich.text import Text

from plinth.cli.output import console
from plinth.kit.errors import Invalid
from plinth.planning.questions.question import Question

BACK = "<"
_WIDEST = 96
_INDENT = "    "
_INTRO = (
    "Return takes what stands in brackets, `-` leaves a question out, `<` goes back. Ctrl-C ends, "
    "and nothing is written."
)


class Talk:
    """Asks one person; reads standard input line by line."""

    def __init__(self) -> None:
        self._console: Console | None = None
        self._refused = ""

    def ask(self, question: Question, default: str | None, number: int) -> str | None:
        """Return the answer as it was typed, the default for an empty line, None for going back.

        Raises Invalid when the input ends.
        """
        shown = self._begin()
        # After a wrong answer the question stands above it still.
        if question.name != self._refused:
            shown.print()
            self._say(f"{number}. {question.text}  ({question.rule})", "bold", indent="")
            self._say(question.why, "dim")
            self._say(f"accepted: {question.accepted}", "dim")
        self._refused = ""
        taken = question.empty if default is None else default
        shown.print(Text(f"{_INDENT}{'' if taken is None else f'[{taken}] '}> "), end="")
        line = sys.stdin.readline()
        if not line:
            shown.print()
            raise Invalid(
                f"the answers ended at `{question.name}`; nothing was written",
                hint="`--defaults` takes the defaults, `--answers FILE` reads answers from a file",
            )
        written = line.strip()
        if written == BACK:
            return None
        return written or default or ""

    def refuse(self, question: Question, err: Invalid) -> None:
        """Say why the answer to a question was not taken, and what is accepted."""
        self._say(err.message, "red")
        self._refused = question.name

    def _begin(self) -> Console:
        if self._console is None:
            self._console = console(to_stderr=True)
            self._say(_INTRO, "dim", indent="")
        return self._console

    def _say(self, plain: str, style: str, indent: str = _INDENT) -> None:
        shown = self._begin()
        # What was typed stands in it: nothing of it may steer the terminal.
        safe = "".join(each if each.isprintable() else "?" for each in plain)
        width = min(_WIDEST, shown.width)
        for line in textwrap.wrap(safe, max(20, width - len(indent))):
            shown.print(Text(indent + line, style=style), soft_wrap=True)
