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


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = (
        'trace_day = 7\nlease_s = 0.5\naccess_log_bytes = "big"\ndatabase = 3\ntrace_days = true\n'
    )
    with pytest.raises(Invalid) as caught:
        load_settings(write(tmp_path, text))
    message = caught.value.message
    assert "`trace_day` is no setting; there are access_log_bytes" in message
    assert "`lease_s` is 0.5; 1 to 600 is accepted" in message
    assert "`access_log_bytes` is `big`; a whole number is accepted" in message
    assert "`database` is `3`; a text is accepted" in message
    assert "`trace_days` is `True`; a number is accepted" in message


def test_a_file_that_is_no_toml_says_where(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"is no TOML: .*line 1"):
        load_settings(write(tmp_path, "trace_days: 7\n"))


def test_every_setting_says_what_it_is_for() -> None:
    for field in Settings.__dataclass_fields__.values():
        assert field.metadata["text"].endswith(".")
