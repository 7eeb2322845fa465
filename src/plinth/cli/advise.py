"""The verb `advise`: ask the questions of the guidance, write an application's file, plan it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import JsonValue, RootModel

from plinth.cli.advise_talk import Talk
from plinth.cli.output import note, print_json, print_table
from plinth.cli.plan import plan
from plinth.cli.session import HomeOption, JsonOption
from plinth.cli.verb import verb
from plinth.domain.base import check_name
from plinth.domain.document import Value
from plinth.domain.load import load_as
from plinth.kit.errors import Conflict, Invalid
from plinth.kit.files import write_atomic
from plinth.planning.questions.question_table import QUESTIONS
from plinth.planning.questions.questions import (
    check_strays,
    file_text,
    find_question,
    next_question,
    read_answer,
)

_MOST_BYTES = 1_000_000
FileArgument = Annotated[
    Path, typer.Argument(metavar="[FILE]", help="The application's file to write")
]
AnswersOption = Annotated[
    Path | None,
    typer.Option(
        "--answers", metavar="FILE", help="A YAML mapping of questions to answers, not asked then"
    ),
]
DefaultsOption = Annotated[
    bool, typer.Option("--defaults", help="Ask nothing: take the default of what is not answered")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Write over a file that is there")]
ReportOption = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Also write the plan as one HTML page"),
]
QuestionsOption = Annotated[
    bool, typer.Option("--questions", help="List the questions, and ask none")
]


class _AnswersFile(RootModel[dict[str, JsonValue]]):
    """A file of answers by the names of their questions."""


def advise(
    file: FileArgument = Path("app.yaml"),
    *,
    answers: AnswersOption = None,
    defaults: DefaultsOption = False,
    force: ForceOption = False,
    report: ReportOption = None,
    questions: QuestionsOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask what an AI application needs, write it into FILE, and plan it.

    Needs no running Plinth and no account. Return takes what stands in brackets, `-` leaves a
    question out, `<` goes back to the one before. Nothing is written before the last answer.
    """
    if questions:
        _list_questions(as_json=as_json)
        return
    if not force and (file.exists() or file.is_symlink()):
        raise Conflict(f"`{file}` is there already", hint="name another file, or give `--force`")
    if not file.parent.is_dir():
        raise Invalid(f"`{file.parent}` is not a folder", hint="its folder must exist")
    given = {} if answers is None else _read_answers(answers)
    found = _gather(given, _suggested(file), Talk(), defaults=defaults)
    _write(file, file_text(found))
    note(f"wrote `{file}`")
    plan(file, report=report, home=home, as_json=as_json)


def _gather(
    given: dict[str, Value], suggested: str | None, talk: Talk, *, defaults: bool
) -> dict[str, Value]:
    """Return an answer to each question that is asked, from the file, the defaults or a person."""
    for name in given:
        find_question(name)
    answers: dict[str, Value] = {}
    asked: list[str] = []
    while (question := next_question(answers)) is not None:
        default = suggested if question.name == "name" else question.default_of(answers)
        if question.name in given:
            answers[question.name] = read_answer(question, given[question.name], answers)
        elif defaults:
            answers[question.name] = read_answer(question, default, answers)
        else:
            reply = talk.ask(question, default, len(asked) + 1)
            if reply is None and asked:
                _forget_from(answers, asked.pop())
            elif reply is not None:
                try:
                    answers[question.name] = read_answer(question, reply, answers)
                except Invalid as err:
                    talk.refuse(question, err)
                else:
                    asked.append(question.name)
    check_strays(answers, given)
    return answers


def _forget_from(answers: dict[str, Value], name: str) -> None:
    """Take back the answer to `name` and all after it: what comes then may depend on it."""
    names = list(answers)
    for each in names[names.index(name) :]:
        del answers[each]


def _suggested(file: Path) -> str | None:
    """Return the file's name as the application's, where it is a name."""
    try:
        return check_name(file.name.partition(".")[0].lower().replace("_", "-"))
    except ValueError:
        return None


def _read_answers(path: Path) -> dict[str, Value]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except OSError as err:
        raise Invalid(
            f"`{path}` cannot be read: {err.strerror}", hint="give the path of a file of answers"
        ) from err
    return dict(load_as(_AnswersFile, content, str(path)).root)


def _write(file: Path, text: str) -> None:
    try:
        write_atomic(file, text.encode(), mode=0o644)
    except OSError as err:
        raise Invalid(
            f"`{file}` cannot be written: {err.strerror}", hint="name a file that can be written"
        ) from err


def _list_questions(*, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "name": each.name,
            "rule": each.rule,
            "text": each.text,
            "why": each.why,
            "accepted": each.accepted,
            "default": each.default_of({}),
            "field": each.field or None,
        }
        for each in QUESTIONS
    ]
    if as_json:
        print_json(rows)
        return
    columns = ["NAME", "RULE", "DEFAULT", "WHAT IT IS"]
    cells = [[row["name"], row["rule"], row["default"], row["text"]] for row in rows]
    print_table(columns, cells, empty="")


COMMANDS = {"advise": verb(advise, "advise")}
