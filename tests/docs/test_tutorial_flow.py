"""The tutorial of flows shows the file that it applies, whole."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_file_that_is_shown_is_the_example() -> None:
    text = (ROOT / "docs" / "tutorial" / "first-flow.md").read_text()
    shown = text.partition("```yaml\n")[2].partition("```")[0]
    example = (ROOT / "examples" / "flow" / "flow.yaml").read_text()
    assert yaml.safe_load(shown) == yaml.safe_load(example)
