"""Settings: defaults for all, and every mistake in the file at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.kit.errors import Invalid
from plinth.kit.settings import FILE_NAME, Settings, load_settings


def write(home: Path, text: str) -> Path:
    (home / FILE_NAME).write_text(text)
    return home


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    assert load_settings(tmp_path) == Settings()


def test_what_is_written_counts_and_the_rest_stays(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "trace_days = 7\nlease_s = 2.5\n"))
    assert (settings.trace_days, settings.lease_s) == (7.0, 2.5)
    assert settings.access_log_bytes == Settings().access_log_bytes


def mistakes_in(home: Path, text: str | bytes) -> list[str]:
    """Return what is said of a file, line by line, without the folder it lies in."""
    (home / FILE_NAME).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Invalid) as caught:
        load_settings(home)
    return caught.value.message.replace(f"{home}/", "").split("\n")


NAMES = ", ".join(Settings.__dataclass_fields__)


def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = (
        'trace_day = 7\n\n# comment\nlease_s = 0.5\n"access_log_bytes" = "big"\n'
        "database = 3\ntrace_days = true\ncontrol_planes = 2.5\naccess_logs_bytes = [1]\n"
    )
    at = [f"settings.toml:{line}: " for line in range(10)]
    assert mistakes_in(tmp_path, text) == [
        f"{at[1]}trace_day: there is no such setting; did you mean `trace_days`? accepted: {NAMES}",
        f"{at[4]}lease_s: `0.5` is out of range; accepted: a number, 1 to 600",
        f'{at[5]}access_log_bytes: the text "big" stands here; accepted: a whole number, '
        "4096 or more",
        f"{at[6]}database: a number stands here; accepted: a text",
        f"{at[7]}trace_days: `true` stands here; accepted: a number, 0.01 to 3650",
        f"{at[8]}control_planes: `2.5` stands here; accepted: a whole number, 1 to 4",
        f"{at[9]}access_logs_bytes: a list stands here; accepted: a whole number, 0 or more",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('database = """\nlease_s = 4\n"""\n  lease_s = 900\n', 4),
        ("lease_s = 900", 1),
        ("\r\nlease_s=900\r\n", 2),
        ("trace_days = [\n 1,\n]\nlease_s = 900\n", 4),
        ("lease_s.x = 1\n", 1),
        ("[other]\nlease_s = 900\n[lease_s]\n", 3),
        # Written so oddly that it is not found.
        ('\n"lease\\u005fs" = 900\n', 1),
    ],
)
def test_the_line_is_the_one_in_which_the_setting_stands(
    tmp_path: Path, text: str, line: int
) -> None:
    told = mistakes_in(tmp_path, text)
    assert any(each.startswith(f"settings.toml:{line}: lease_s: ") for each in told)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = 1\ntrace_days: 7\n", "2: this is no TOML: expected '=' after a key"),
        ("lease_s = 2\nlease_s = 3\n", "2: this is no TOML: cannot overwrite a value"),
        ('lease_s = 2\ndatabase = "x', "2: this is no TOML: unterminated string"),
        (b"lease_s = 2\n# \xff\n", "2: the byte 0xff is not UTF-8"),
        ("lease_s = " + "9" * 5000, " this is no TOML that can be read"),
        ("lease_s = " + "[" * 5000, " this is no TOML that can be read"),
    ],
)
def test_a_file_that_is_no_toml_says_where(tmp_path: Path, text: str | bytes, words: str) -> None:
    (told,) = mistakes_in(tmp_path, text)
    assert told.startswith(f"settings.toml:{words}")


def test_a_password_in_a_wrong_place_is_not_told(tmp_path: Path) -> None:
    told = mistakes_in(tmp_path, 'databse = "postgresql://u:pw@h/x"\ndatabase = ["u:pw@h"]\n')
    assert "pw" not in "".join(told)
    assert "did you mean `database`?" in told[0]


def test_a_file_of_nothing_but_mistakes_is_told_in_few_lines(tmp_path: Path) -> None:
    text = "".join(f"{'x' * 500}{number} = 1\n" for number in range(200))
    told = mistakes_in(tmp_path, text)
    assert (len(told), told[-1]) == (51, "and 150 more mistakes")
    assert max(map(len, told)) < 300


def test_a_switch_is_on_or_off(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("allow_private_upstreams = true\n")
    assert load_settings(tmp_path).allow_private_upstreams is True
    told = mistakes_in(tmp_path, "allow_private_upstreams = 1\n")
    assert told[0].endswith("a number stands here; accepted: `true` or `false`")


def test_every_setting_says_what_it_is_for() -> None:
    for field in Settings.__dataclass_fields__.values():
        assert field.metadata["text"].endswith(".")
