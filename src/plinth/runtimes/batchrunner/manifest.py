"""The account of a whole run: every file, every part, and what they came from. Pure.

It says nothing of when or by which attempt: the same input gives the same manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .order import Hopeless, Order
from .work import Finished, Index, Part, count_batches

MANIFEST = "manifest.json"
_VERSION = 1


def manifest_of(
    order: Order,
    indexes: Mapping[int, Index],
    finished: Mapping[tuple[int, int], Finished],
    form: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the manifest. Raises Hopeless when a mini-batch is missing: that would be our bug."""
    done = [finished[key] for key in sorted(finished)]
    missing = [
        (number, batch)
        for number, index in sorted(indexes.items())
        for batch in range(count_batches(index.rows, order.mini_batch))
        if (number, batch) not in finished
    ]
    if missing:
        raise Hopeless(f"{len(missing)} mini-batches are missing, the first {missing[0]}")
    return {
        "version": _VERSION,
        **order.facts,
        "form": {key: form[key] for key in ("form", "why", "compared", "converter") if key in form},
        "mini_batch": order.mini_batch,
        "keep": list(order.keep),
        "rows": sum(one.rows for one in done),
        "answered": sum(one.output.rows for one in done if one.output is not None),
        "set_aside": sum(one.errors for one in done),
        "files": [
            {"name": file.name, "digest": file.digest, "rows": indexes[number].rows}
            for number, file in enumerate(order.files)
        ],
        "parts": [_part(one, one.output) for one in done if one.output is not None],
        "quarantine": [_part(one, one.quarantine) for one in done if one.quarantine is not None],
    }


def _part(one: Finished, part: Part) -> dict[str, Any]:
    return {**asdict(part), "file": one.file, "batch": one.batch}
