"""The model as ONNX, where that was found to answer the same: arrays in, an array out.

What it reads was written by the conversion of a batch (`batchrunner.convert`). Needs numpy and
onnxruntime, so it is imported only where a form is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

_TYPES = {"string": object, "float": np.float32, "int64": np.int64, "bool": np.bool_}


class OnnxForm:
    """A converted model. `predict` gives what the model's own function would give."""

    def __init__(self, folder: Path) -> None:
        form = json.loads((folder / "form.json").read_text())
        options = onnxruntime.SessionOptions()
        # One request at a time; more threads would only wait for each other.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        content = (folder / "model.onnx").read_bytes()
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._output: str = form["output"]
        self._types: dict[str, str] = form["types"]
        self._matrix: str | None = form["matrix"]

    def predict(self, arrays: Mapping[str, Any]) -> Any:
        """Return the answer to checked columns of one length, or to one matrix."""
        answer = self._session.run([self._output], self._feed(arrays))[0]
        # What the model itself answers are double numbers, and its signature says so.
        return answer.astype(np.float64) if answer.dtype == np.float32 else answer

    def _feed(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        if self._matrix is not None:
            columns = list(arrays.values())
            if len(columns) == 1 and columns[0].ndim == 2:
                return {self._matrix: columns[0].astype(np.float32)}
            return {self._matrix: np.column_stack(columns).astype(np.float32)}
        rows = len(next(iter(arrays.values())))
        return {
            name: self._column(arrays.get(name), kind, rows) for name, kind in self._types.items()
        }

    def _column(self, values: Any, kind: str, rows: int) -> Any:
        if values is None:
            missing = "" if kind == "string" else np.nan
            return np.full((rows, 1), missing, dtype=_TYPES[kind])
        if kind == "string":
            values = np.where(values == None, "", values)  # noqa: E711 - for each value
        return values.astype(_TYPES[kind], copy=False).reshape(rows, 1)
