"""Each of our own rules finds its mistake, and nothing beside it."""

import subprocess
import textwrap

import pytest

from tools.check_source import (
    Finding,
    apply_allowances,
    check_imports,
    check_mirror,
    check_module,
    check_names,
    check_text,
    check_tree,
    is_note,
    read_allowances,
)


def found(source: str) -> list[tuple[int, str, str]]:
    findings = check_module("src/plinth/kit/x.py", textwrap.dedent(source))
    return [(finding.line, finding.rule, finding.name) for finding in findings]


def test_a_module_over_600_lines_is_too_long():
    assert found("x = 1\n" * 600) == []
    assert found("x = 1\n" * 601) == [(1, "long-module", "")]


def test_a_function_over_60_lines_is_too_long():
    assert found("def f():\n" + "    x = 1\n" * 59) == []
    assert found("class A:\n    def f(self):\n" + "        x = 1\n" * 60) == [
        (2, "long-function", "A.f")
    ]


def test_an_import_inside_a_function_is_found_by_its_dotted_name():
    source = """
        class A:
            def f(self):
                if self:
                    import json
                    from os import path
    """
    assert found(source) == [(5, "inner-import", "A.f"), (6, "inner-import", "A.f")]


def test_an_import_for_type_checking_only_is_no_inner_import():
    assert found("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import json\n") == []


@pytest.mark.parametrize(
    "clause", ["except:", "except Exception:", "except (OSError, builtins.BaseException) as err:"]
)
def test_a_broad_except_is_found(clause):
    assert found(f"try:\n    pass\n{clause}\n    pass\n") == [(3, "broad-except", "")]


def test_suppressing_every_error_is_found():
    source = """
        def f():
            with contextlib.suppress(Exception):
                pass
    """
    assert found(source) == [(3, "broad-except", "f")]


def test_a_named_error_is_no_broad_except():
    assert found("try:\n    pass\nexcept (OSError, ValueError):\n    pass\n") == []


@pytest.mark.parametrize(
    "path", ["src/plinth/kit/utils.py", "tests/helpers/x.py", "src/plinth/run_manager.py"]
)
def test_a_name_that_says_nothing_is_found(path):
    assert [finding.rule for finding in check_names(path)] == ["empty-name"]


def test_a_noun_is_a_good_name():
    assert not list(check_names("src/plinth/units/supervisor.py"))


@pytest.mark.parametrize(
    "line",
    [
        "--index-" + "url x",
        "https://mirror.example/pypi" + "/simple/uv",
        "https://example.org/x-1.0-py3-none-any" + ".whl",
        "registry.npmjs" + ".org",
    ],
)
def test_a_registrys_address_is_found(line):
    assert [finding.rule for finding in check_text("a.txt", line)] == ["registry-address"]


@pytest.mark.parametrize("path", ["/root" + "/x", "/home" + "/ann/x", "cd /work" + "/main"])
def test_a_folder_of_one_machine_is_found(path):
    assert [finding.rule for finding in check_text("a.txt", path)] == ["machine-path"]


@pytest.mark.parametrize(
    "path", ["src/root" + "/x", "$HOME/x", "network/work" + "/x", "https://a/b"]
)
def test_other_paths_are_not_machine_paths(path):
    assert not list(check_text("a.txt", path))


def test_light_rooms_import_no_package_of_others():
    source = "import json\nimport yaml\nfrom plinth.kit import ids\nfrom .spec import UnitSpec\n"
    findings = list(check_imports("src/plinth/units/agent.py", source))
    assert [(finding.line, finding.rule) for finding in findings] == [(2, "heavy-import")]
    assert not list(check_imports("src/plinth/api/routes.py", source))


def test_a_module_without_its_test_is_found():
    paths = [
        "src/plinth/kit/__init__.py",
        "src/plinth/kit/ids.py",
        "src/plinth/kit/log.py",
        "src/plinth/units/isolation/landlock.py",
        "tests/kit/test_ids.py",
        "tests/units/test_landlock.py",
        "tests/units/test_log.py",
    ]
    assert [finding.path for finding in check_mirror(paths)] == ["src/plinth/kit/log.py"]


def test_only_mirrored_rooms_must_have_every_test_module():
    findings = check_mirror(
        ["src/plinth/kit/log.py", "src/plinth/server.py", "src/plinth/gateway/a.py"]
    )
    assert {finding.path: is_note(finding) for finding in findings} == {
        "src/plinth/gateway/a.py": True,
        "src/plinth/kit/log.py": False,
        "src/plinth/server.py": True,
    }


FINDING = Finding("src/plinth/kit/x.py", 3, "broad-except", "fact", "hint", "A.f")


@pytest.mark.parametrize(
    "where", ["path = 'src/plinth/kit/x.py'\nname = 'A.f'", "path = 'src/plinth/kit/'"]
)
def test_an_allowance_covers_a_function_or_a_folder(where):
    allowances = read_allowances(f"[[broad-except]]\n{where}\nreason = 'the edge'\n")
    assert list(apply_allowances([FINDING], allowances)) == []


def test_an_allowance_that_nothing_needs_is_found():
    allowances = read_allowances(
        "[[broad-except]]\npath = 'src/plinth/kit/x.py'\nname = 'A.g'\nreason = 'the edge'\n"
    )
    rules = [finding.rule for finding in apply_allowances([FINDING], allowances)]
    assert rules == ["broad-except", "unneeded-exception"]


def test_an_allowance_needs_a_reason():
    with pytest.raises(KeyError):
        read_allowances("[[broad-except]]\npath = 'x.py'\n")


def test_a_finding_says_where_what_and_what_to_do():
    assert str(FINDING) == "src/plinth/kit/x.py:3: broad-except: fact\n    hint: hint"


def test_the_tree_is_what_git_knows_and_ignored_files_are_left_out(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("build/\n")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "utils.py").write_text("")
    (tmp_path / "misc.py").write_text("")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    assert [(finding.path, finding.rule) for finding in check_tree(tmp_path)] == [
        ("misc.py", "empty-name")
    ]
