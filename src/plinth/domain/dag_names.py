"""The names in a prompt flow's DAG that its callers use: inputs, outputs, variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from plinth.domain.mistake import nearest_name
from plinth.kit.excerpt import excerpt


@dataclass(frozen=True, slots=True)
class DagNames:
    """See the module. `inputs`: of each whether it has a default; `variants`: `NODE.VARIANT`."""

    inputs: Mapping[str, bool]
    outputs: tuple[str, ...]
    variants: tuple[str, ...]

    def row_problem(self, row: Mapping[str, Any]) -> str | None:
        """Say which input a row lacks, or seems to have misspelt; None where it can be sent.

        Further columns are none of the flow's: they are not sent for anything.
        """
        others = [name for name in row if name not in self.inputs]
        for name, has_default in self.inputs.items():
            near = None if name in row else nearest_name(name, others)
            if near is not None:
                return f"`{excerpt(near)}` is no input; did you mean `{excerpt(name)}`?"
            if name not in row and not has_default:
                return f"the input `{excerpt(name)}` is missing, and has no default"
        return None


def no_such(kind: str, name: str, known: tuple[str, ...]) -> str | None:
    """Say that `name` is none of those of this kind, with the nearest and all of them."""
    if name in known:
        return None
    near = nearest_name(name, known)
    hint = f"; did you mean `{excerpt(near)}`?" if near else ""
    listed = ", ".join(excerpt(each) for each in known[:20]) or "none"
    return f"there is no {kind} `{excerpt(name)}`{hint}; there are {listed}"


def dag_names(text: str) -> DagNames | None:
    """Return the names in a `flow.dag.yaml`; None where it cannot be read, which `dag.py` tells."""
    try:
        fields = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError):
        # The last three are what PyYAML raises for values that are none of their type.
        return None
    inputs = {
        str(name): isinstance(said, dict) and said.get("default") is not None
        for name, said in _below(fields, "inputs").items()
    }
    variants = [
        f"{node}.{name}"
        for node, said in _below(fields, "node_variants").items()
        for name in _below(said, "variants")
    ]
    outputs = tuple(str(name) for name in _below(fields, "outputs"))
    return DagNames(inputs, outputs, tuple(variants))


def _below(fields: Any, name: str) -> Mapping[Any, Any]:
    found = fields.get(name) if isinstance(fields, dict) else None
    return found if isinstance(found, dict) else {}
