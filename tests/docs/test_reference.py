"""The reference pages say what the code does, and all of it."""

import dataclasses

import pytest

from plinth.cli.main import VERBS
from plinth.domain.application import DECLARATIONS
from plinth.domain.load import load_workload
from plinth.kit.error_codes import CODES
from plinth.kit.settings import Settings
from tools import docs_reference
from tools.reference import commands, errors, settings, workload


@pytest.mark.parametrize("name", list(docs_reference.PAGES))
def test_a_page_is_what_the_code_says(name):
    path = docs_reference.FOLDER / name
    assert path.exists(), "run `python -m tools.docs_reference`"
    written = path.read_text(encoding="utf-8")
    assert written == docs_reference.PAGES[name](), "run `python -m tools.docs_reference`"


def test_a_stale_page_fails_the_check(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docs_reference, "FOLDER", tmp_path)
    assert docs_reference.main(["--check"]) == 1
    assert docs_reference.main([]) == 0
    assert docs_reference.main(["--check"]) == 0
    (tmp_path / "workload.md").write_text("old")
    assert docs_reference.main(["--check"]) == 1
    assert "workload.md is stale" in capsys.readouterr().err


@pytest.mark.parametrize("kind", list(DECLARATIONS))
def test_the_example_of_each_kind_is_read(kind):
    assert load_workload(workload.EXAMPLES[kind], f"{kind}.yaml").kind == kind


def test_every_field_of_every_kind_stands_on_the_page():
    page = workload.workload_page()
    for model in DECLARATIONS.values():
        for name in model.model_fields:
            assert f"| `{name}` |" in page


def test_every_setting_stands_on_the_page():
    page = settings.settings_page()
    for field in dataclasses.fields(Settings):
        assert f"| `{field.name}` |" in page


def test_every_verb_and_each_of_its_options_says_what_it_is_for():
    page = commands.commands_page()
    silent = []
    for words, command in commands.walk(commands.app, ()):
        assert f"`plinth {' '.join(words)}`\n" in page
        silent += [f"{words} {each.opts}" for each in command.params if not each.help]
        silent += [] if command.help else [" ".join(words)]
    assert not silent
    assert all(f"| [`{name}`]" in page for name in VERBS)


def test_every_code_that_the_source_uses_is_explained_and_no_other():
    assert errors.used_codes() == set(CODES)
