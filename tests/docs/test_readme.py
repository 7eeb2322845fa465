"""Documented things are tested as documented: commands parse, targets, files and links exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.exceptions import TyperException

from plinth.cli.main import app
from tools.documents import (
    Command,
    find_pages,
    has_early_command,
    read_anchors,
    read_commands,
    read_links,
    read_opening,
)

ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in find_pages(ROOT)}
COMMANDS = [command for name, text in PAGES.items() for command in read_commands(name, text)]
DECISION_SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
# After it, half a sentence may lead to the command: "Try it:".
ONE_SENTENCE = re.compile(r"(?:[^.!?]|[.!?](?! ))+[.:](?: [^.!?]+:)?")


def commands_of(*programs: str) -> list[Command]:
    """Return the documented commands whose program is one of `programs`."""
    return [found for found in COMMANDS if Path(found.words[0]).name in programs]


def test_the_tutorial_looks_at_the_experiment_with_a_key_of_its_team() -> None:
    # The administrator's own key would show the workspace of another team, which is empty.
    assert "PLINTH_KEY=$KEY plinth open mlflow" in PAGES["docs/tutorial/first-model.md"]


def parse(words: tuple[str, ...]) -> tuple[str, ...]:
    """Parse `plinth ...` with the real command line, running nothing; return the verbs in it."""
    command, name, arguments = app, "plinth", list(words[1:])
    context, verbs = None, []
    while True:
        try:
            context = command.make_context(name, list(arguments), parent=context)
        except typer.Exit:
            return tuple(verbs)  # `--help` and `--version` end the parsing.
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if not hasattr(command, "resolve_command") or not rest:
            return tuple(verbs)
        name, command, arguments = command.resolve_command(context, rest)
        verbs.append(name)


def find_verbs(command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield every verb below `command`, those of groups included."""
    context = typer.Context(command)
    for name in command.list_commands(context):
        verb = command.get_command(context, name)
        yield (*words, name)
        if hasattr(verb, "list_commands"):
            yield from find_verbs(verb, (*words, name))


def test_the_readme_shows_both_commands():
    typed = [" ".join(found.words) for found in COMMANDS if found.path == "README.md"]
    assert {"make demo", "make test"} <= set(typed)


def test_every_documented_plinth_command_parses(monkeypatch):
    monkeypatch.chdir(ROOT)
    problems = []
    for command in commands_of("plinth"):
        try:
            parse(command.words)
        except TyperException as error:
            problems.append(f"{command}\n  {error}")
    assert not problems, "\n".join(problems)


def test_every_verb_explains_itself(capsys):
    verbs = list(find_verbs(app, ()))
    assert ("up",) in verbs
    for words in verbs:
        parse(("plinth", *words, "--help"))
        assert f"Usage: plinth {' '.join(words)}" in capsys.readouterr().out


def test_every_documented_make_target_exists():
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    given = [(command, word) for command in commands_of("make") for word in command.words[1:]]
    wanted = [(command, word) for command, word in given if word[0] != "-" and "=" not in word]
    assert not [str(command) for command, word in wanted if word not in targets]


def test_every_documented_python_program_exists():
    missing = []
    for command in commands_of("python", "python3"):
        words = command.words
        if words[1:2] == ("-m",) and words[2].split(".")[0] in ("benchmarks", "tools", "plinth"):
            folder = ROOT / "src" if words[2].startswith("plinth") else ROOT
            place = folder / words[2].replace(".", "/")
        elif words[1:2] and words[1].endswith(".py"):
            place = (ROOT / words[1]).with_suffix("")
        else:
            continue
        if not place.is_dir() and not place.with_suffix(".py").is_file():
            missing.append(str(command))
    assert not missing


def test_every_link_inside_the_repository_resolves():
    broken = []
    for page, text in PAGES.items():
        for target in read_links(text):
            file, _, anchor = target.partition("#")
            found = (ROOT / page).parent / file if file else ROOT / page
            if re.match(r"[a-z]+:", target):
                continue
            known = not anchor or found.suffix != ".md" or not found.is_file()
            if not found.exists() or not (known or anchor in read_anchors(found.read_text())):
                broken.append(f"{page}: {target}")
    assert not broken


def test_every_page_opens_with_one_sentence_and_a_thing_to_run():
    pages = {page: PAGES[page] for page in PAGES if re.match(r"docs/(?!decisions/)", page)}
    long = [page for page, text in pages.items() if not ONE_SENTENCE.fullmatch(read_opening(text))]
    assert not long, "the first paragraph after the title is one sentence"
    assert not [page for page, text in pages.items() if not has_early_command(text)]


def test_every_decision_has_its_five_sections():
    for page, text in PAGES.items():
        if re.match(r"docs/decisions/\d", page):
            assert re.findall(r"^## (.+)$", text, re.MULTILINE) == DECISION_SECTIONS, page
