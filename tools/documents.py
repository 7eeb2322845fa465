"""Read our Markdown pages: their commands, links and openings, so that tests can check them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(```+)[ \t]*(\w*)[^\n]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
REMARK = re.compile(r"<!--.*?-->", re.DOTALL)
SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True, slots=True)
class Command:
    """One command that a page tells its reader to type."""

    path: str
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {shlex.join(self.words)}"


def find_pages(root: Path) -> list[Path]:
    """Return every page a reader may open: those at the top and those below docs/."""
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")])


def read_commands(path: str, text: str) -> Iterator[Command]:
    """Yield the commands in the `console` blocks (after `$ `) and the `sh` blocks of a page."""
    for block in FENCE.finditer(text):
        language, content = block[2], block[3]
        line = text.count("\n", 0, block.start()) + 2
        for number, typed in _typed_lines(language, content):
            for words in split_commands(typed):
                yield Command(path, line + number, words)


def _typed_lines(language: str, content: str) -> Iterator[tuple[int, str]]:
    if language not in ("console", "sh", "bash", "shell"):
        return
    start, typed = 0, ""
    for number, line in enumerate(content.splitlines()):
        if not typed:
            start = number
            if language == "console" and not line.startswith("$ "):
                continue
        typed += line.removeprefix("$ ") if language == "console" else line
        if typed.endswith("\\"):
            typed = typed[:-1]
            continue
        yield start, typed
        typed = ""


def split_commands(line: str) -> list[tuple[str, ...]]:
    """Return the simple commands of a shell line, those in `$(...)` first.

    Variables set in front of a command and the targets of redirections are left out.
    """
    found: list[tuple[str, ...]] = []
    while inner := SUBSTITUTION.search(line):
        found += split_commands(inner[1])
        line = line[: inner.start()] + "VALUE" + line[inner.end() :]
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    after_redirection = False
    for token in [*lexer, ";"]:
        if not set(token) <= set("();<>|&"):
            if not after_redirection and (words or not ASSIGNMENT.match(token)):
                words.append(token)
            after_redirection = False
        elif set(token) & set("<>"):
            after_redirection = True
            if words and words[-1] in ("1", "2"):
                words.pop()  # The descriptor of `2>/dev/null`.
        elif words:
            found.append(tuple(words))
            words = []
    return found


def read_links(text: str) -> Iterator[str]:
    """Yield the targets of a page's links, those inside code left out."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    yield from (found[1] for found in LINK.finditer(prose))


def read_anchors(text: str) -> set[str]:
    """Return the names that a link's `#...` may have on this page."""
    return {_slug(found[1]) for found in HEADING.finditer(FENCE.sub("", text))}


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def read_opening(text: str) -> str:
    """Return a page's first paragraph after its title, on one line; empty when there is none."""
    blocks = re.split(r"\n\s*\n", REMARK.sub("", text).strip())
    after_title = blocks[1:] if blocks[0].startswith("# ") else blocks
    opening = after_title[0] if after_title else ""
    return "" if opening.startswith(("#", "```", "|", "- ")) else " ".join(opening.split())


def has_early_command(text: str) -> bool:
    """Say whether a reader finds something to run before the page's second section."""
    found = FENCE.search(text)
    return found is not None and text.count("\n## ", 0, found.start()) < 2
