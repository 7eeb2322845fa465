"""The reference pages say what the code does."""

import pytest

from plinth.domain.load import load_workload
from plinth.domain.workload import KINDS
from tools import docs_reference


def test_the_page_of_the_workload_file_is_what_the_types_say():
    assert docs_reference.PAGE.exists(), "run `python -m tools.docs_reference`"
    written = docs_reference.PAGE.read_text(encoding="utf-8")
    assert written == docs_reference.workload_page(), "run `python -m tools.docs_reference`"


def test_a_stale_page_fails_the_check(tmp_path, monkeypatch, capsys):
    page = tmp_path / "workload.md"
    monkeypatch.setattr(docs_reference, "PAGE", page)
    assert docs_reference.main(["--check"]) == 1
    assert docs_reference.main([]) == 0
    assert docs_reference.main(["--check"]) == 0
    page.write_text("old")
    assert docs_reference.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().err


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_example_of_each_kind_is_read(kind):
    assert load_workload(docs_reference.EXAMPLES[kind], f"{kind}.yaml").kind == kind


def test_every_field_of_every_kind_stands_on_the_page():
    page = docs_reference.workload_page()
    for model in KINDS.values():
        for name in model.model_fields:
            assert f"| `{name}` |" in page
