"""Questions become a file that is planned at once; nothing is written before the last answer."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from plinth.domain.application import Application
from plinth.domain.load import load_workload
from plinth.planning.questions.question_table import QUESTIONS
from tests.cli.alone import Alone, Said

ANSWERS = """
functions: [train]
residency: eu
data.size: 4GB
data.region: westeurope
train.runs: 8
train.duration: 3h
"""


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def advise(alone: Alone, *arguments: str | Path) -> Said:
    return alone("advise", alone.home.parent / "churn.yaml", *arguments)


def written(alone: Alone) -> Application:
    path = alone.home.parent / "churn.yaml"
    loaded = load_workload(path.read_text(), "churn.yaml")
    assert isinstance(loaded, Application)
    return loaded


def test_answers_of_a_file_make_a_file_and_its_plan(alone: Alone) -> None:
    said = advise(alone, "--answers", alone.write("a.yaml", ANSWERS), "--defaults", "--json")
    assert said.code == 0, said.err
    assert "wrote `" in said.err
    assert said.json["name"] == "churn"
    made = written(alone)
    assert made.train is not None
    assert (made.train.demand.runs, made.train.demand.duration) == (8, 3 * 3600)
    assert made.train.data == ("source",)
    assert made.data["source"].region == "westeurope"
    assert made.requirements.residency == "eu"


def test_a_person_may_correct_and_go_back(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = alone.write("a.yaml", ANSWERS.replace("functions: [train]\nresidency: eu\n", ""))
    lines = ("", "trian", "train", "eu", "<", "germany", *[""] * 40)
    typed(monkeypatch, *lines)
    said = advise(alone, "--answers", answers, "--json")
    assert said.code == 0, said.err
    assert "did you mean `train`" in said.err
    assert "1. What is the application called?  (G2)" in said.err
    assert "[churn] > " in said.err
    assert said.err.count("Where must its data stay") == 2
    assert written(alone).requirements.residency == "germany"


def test_going_back_forgets_what_depended_on_it(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The checkpoint's follower is asked, then the checkpoint is corrected.
    typed(monkeypatch, "verified", "<", "none")
    answers = "".join(
        f"{each.name}: {each.default_of({'functions': ['train']}) or '-'}\n"
        for each in QUESTIONS
        if each.name.startswith("train.")
        and "checkpoint" not in each.name
        and "interruptible" not in each.name
    )
    text = "name: x\nfunctions: train\nresidency: '-'\ncriticality: dev\nprivate_network: no\n"
    text += "commitment: no\nday2_hours: '-'\ndata.size: '-'\n"
    text += answers.replace(": -\n", ": '-'\n")
    said = advise(alone, "--answers", alone.write("a.yaml", text), "--json")
    assert said.code == 0, said.err
    assert "May it be stopped at any time" in said.err
    assert not written(alone).train.requirements.interruptible  # type: ignore[union-attr]


def test_an_end_of_the_input_writes_nothing(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "churn", "train")
    said = advise(alone)
    assert said.code == 1
    assert "the answers ended at `residency`; nothing was written" in said.err
    assert "`--defaults`" in said.err
    assert list(alone.home.parent.glob("*.yaml")) == []


def test_an_interrupt_writes_nothing(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def readline(self, _size: int | None = -1, /) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert advise(alone).code != 0
    assert list(alone.home.parent.glob("*.yaml")) == []


def test_a_file_that_is_there_stays_unless_it_is_forced(alone: Alone) -> None:
    path = alone.write("churn.yaml", "mine")
    said = advise(alone, "--defaults")
    assert (said.code, "is there already" in said.err) == (1, True)
    assert path.read_text() == "mine"
    answers = alone.write("a.yaml", ANSWERS)
    assert advise(alone, "--defaults", "--answers", answers, "--force").code == 0
    assert written(alone).name == "churn"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("residence: eu\n", "did you mean `residency`"),
        ("flow.tool: asgi\n", "`flow.tool`: answered, and not asked"),
        ("criticality: prod\n", "criticality: `prod` is not one of the accepted values"),
        ("residency: {eu: 1}\n", "residency: one text is needed"),
        ("- eu\n", "a file holds fields"),
        ("", "the file is empty"),
        ("a: [\n", "a.yaml:"),
    ],
)
def test_wrong_answers_of_a_file_write_nothing(alone: Alone, text: str, said: str) -> None:
    answers = alone.write("a.yaml", text)
    found = advise(alone, "--answers", answers, "--defaults")
    assert found.code == 1
    assert said in found.err
    assert not (alone.home.parent / "churn.yaml").exists()


def test_places_that_cannot_be_written_or_read_are_told(alone: Alone) -> None:
    said = alone("advise", alone.home.parent / "no" / "x.yaml", "--defaults")
    assert (said.code, "is not a folder" in said.err) == (1, True)
    said = advise(alone, "--answers", alone.home.parent / "none.yaml")
    assert (said.code, "cannot be read" in said.err) == (1, True)


def test_a_name_that_the_file_does_not_give_must_be_answered(alone: Alone) -> None:
    said = alone("advise", alone.home.parent / "9.yaml", "--defaults")
    assert (said.code, "name: an answer is needed" in said.err) == (1, True)


def test_the_questions_can_be_listed(alone: Alone) -> None:
    listed = alone("advise", "--questions", "--json").json
    assert [each["name"] for each in listed] == [each.name for each in QUESTIONS]
    assert "online.latency" in alone("advise", "--questions").out


def test_the_report_is_written_too(alone: Alone) -> None:
    page = alone.home.parent / "plan.html"
    answers = alone.write("a.yaml", ANSWERS)
    assert advise(alone, "--defaults", "--answers", answers, "--report", page).code == 0
    assert "<h1>Where <code>churn</code> runs</h1>" in page.read_text()
