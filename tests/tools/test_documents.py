"""The reader of Markdown pages finds what a person would type, click and read first."""

from tools.documents import (
    has_early_command,
    read_anchors,
    read_commands,
    read_links,
    read_opening,
    split_commands,
)

PAGE = """# Serve a model

Serve one version behind a stable address.

```console
$ plinth apply examples/flights/endpoint.yaml
endpoint flights is ready
$ KEY=$(plinth keys mint --team ops) make demo
```

## Next

See [the limits](limits.md#what-is-missing), not `[code](nowhere.md)`.

```sh
# a comment
plinth usage \\
  --json | head -3
```

```yaml
kind: endpoint
```
"""


def words_of(page: str) -> list[str]:
    return [" ".join(command.words) for command in read_commands("page.md", page)]


def test_console_blocks_hold_commands_after_a_prompt_and_output():
    assert words_of(PAGE)[:3] == [
        "plinth apply examples/flights/endpoint.yaml",
        "plinth keys mint --team ops",
        "make demo",
    ]


def test_shell_blocks_join_continued_lines_and_split_pipes():
    assert words_of(PAGE)[3:] == ["plinth usage --json", "head -3"]


def test_a_command_knows_its_line():
    assert str(next(read_commands("page.md", PAGE))).startswith("page.md:6: plinth apply")


def test_redirections_are_no_arguments():
    assert split_commands("plinth get run x 2>/dev/null >out.json && make test") == [
        ("plinth", "get", "run", "x"),
        ("make", "test"),
    ]


def test_links_in_code_are_not_links():
    assert list(read_links(PAGE)) == ["limits.md#what-is-missing"]


def test_headings_become_anchors_and_comments_in_code_do_not():
    assert read_anchors("# What is missing?\n```sh\n# no heading\n```\n") == {"what-is-missing"}


def test_the_opening_is_the_paragraph_after_the_title():
    assert read_opening(PAGE) == "Serve one version behind a stable address."
    assert read_opening("<!-- written by a tool -->\n\n# T\n\nOne\nline.\n") == "One line."
    assert read_opening("# Title\n\n## Section\n") == ""


def test_a_command_counts_as_early_before_the_second_section():
    assert has_early_command(PAGE)
    assert not has_early_command("# T\n\n## One\n\n## Two\n\n```sh\nmake\n```\n")
