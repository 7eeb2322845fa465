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

_NUMBERS = "biuf"
_FATAL = 4
_TYPES = {"string": object, "float": np.float32, "int64": np.int64, "bool": np.bool_}


class OnnxForm:
    """A converted model. `predict` gives what the model's own function would give."""

    def __init__(self, folder: Path) -> None:
        form = json.loads((folder / "form.json").read_text())
        options = onnxruntime.SessionOptions()
        # One request at a time; more threads would only wait for each other.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # What goes wrong is raised; warnings about a model's shapes would come with each request.
        options.log_severity_level = _FATAL
        content = (folder / "model.onnx").read_bytes()
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._output: str = form["output"]
        self._types: dict[str, str] = form["types"]
        self._matrix: str | None = form["matrix"]
        # What an answer of the model itself is like: callers must see no other shape or type.
        self._answer: dict[str, Any] = form["answer"]

    def predict(self, arrays: Mapping[str, Any]) -> Any:
        """Return the answer to checked columns of one length, or to one matrix.

        None where one has a number that is not finite in 32 bits: the comparison saw none such,
        and the model itself may refuse it or take it as it is.
        """
        with np.errstate(over="ignore"):
            feed = self._feed(arrays)
        if any(each.dtype == np.float32 and np.isinf(each).any() for each in feed.values()):
            return None
        answer = self._session.run([self._output], feed)[0]
        if self._answer["dimensions"] == 1 and answer.ndim == 2:
            answer = answer[:, 0]
        elif self._answer["dimensions"] == 2 and answer.ndim == 1:
            answer = answer.reshape(-1, 1)
        if self._answer["kind"] in _NUMBERS:
            return answer.astype(self._answer["dtype"], copy=False)
        return answer

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
