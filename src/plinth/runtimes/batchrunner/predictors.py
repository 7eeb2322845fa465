"""The model in one of its forms: Arrow columns in, named arrays out, row by row.

`OnnxModel` needs onnxruntime and numpy only; `PyfuncModel` needs the model's own environment.
"""

from __future__ import annotations

import importlib
import logging
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from .inputs import TYPES, Signature, Wanted, to_numpy
from .order import Hopeless

# Telemetry of the model's libraries stays off unless somebody turned it on.
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
_OUTPUT = "prediction"
_FATAL = 4
# MLflow's type of a tensor's elements that a matrix of numbers may be read as.
_MATRIX_KINDS = "fiu"
_PLAIN_KINDS = "biuf"


class Model(Protocol):
    """A loaded model."""

    signature: Signature

    def type_of(self, name: str, /) -> pa.DataType | None:
        """Return the type of this column of its answers, where that is known beforehand."""
        ...

    def predict(self, columns: dict[str, pa.Array], rows: int) -> dict[str, Any]:
        """Return the answer as arrays of `rows` rows by name. Raises whatever the model raises."""
        ...


def load_model(folder: str, form: dict[str, Any], form_folder: Path | None) -> Model:
    """Return the model in the form that was found for it. Raises Hopeless when it does not load."""
    if form["form"] == "onnx":
        assert form_folder is not None
        return OnnxModel(form_folder, form)
    return PyfuncModel(folder)


class OnnxModel:
    """A converted model, as `convert` wrote it."""

    def __init__(self, folder: Path, form: dict[str, Any]) -> None:
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        # The workers are the parallelism.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # What goes wrong is raised; it need not be said a second time for every mini-batch.
        options.log_severity_level = _FATAL
        content = (folder / "model.onnx").read_bytes()
        self._session = runtime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self.signature = Signature.from_json(form["signature"])
        self._output, self._names = form["output"], form["names"]
        self._types: dict[str, str] = form["types"]
        self._matrix: str | None = form["matrix"]
        # As the model itself answers; None in forms that were found by an older Plinth.
        self._answered: pa.DataType | None = _arrow_type(form.get("answer", {}).get("dtype"))

    def type_of(self, _name: str, /) -> pa.DataType | None:
        """See `Model`."""
        return self._answered

    def predict(self, columns: dict[str, pa.Array], rows: int) -> dict[str, Any]:
        """See `Model`."""
        # What is too large for 32 bits is seen in what came of it.
        with np.errstate(over="ignore"):
            feed = self._feed(columns, rows)
        answer = self._session.run([self._output], feed)[0]
        return named(answer, self._names)

    def _feed(self, columns: dict[str, pa.Array], rows: int) -> dict[str, Any]:
        if self._matrix is not None:
            matrix = np.empty((rows, len(columns)), dtype=np.float32)
            for at, array in enumerate(columns.values()):
                matrix[:, at] = array.to_numpy(zero_copy_only=False)
            if np.isinf(matrix).any():
                at = int(np.flatnonzero(np.isinf(matrix).any(axis=0))[0])
                name = list(columns)[at]
                raise _beyond(name, columns[name], matrix[:, at])
            return {self._matrix: matrix}
        feed = {}
        for name, kind in self._types.items():
            array = columns.get(name)
            if array is None:
                missing = np.full(rows, "" if kind == "string" else np.nan, dtype=_dtype(kind))
                feed[name] = missing.reshape(rows, 1)
            elif kind == "string":
                feed[name] = to_numpy(array.fill_null("")).reshape(rows, 1)
            else:
                values = array.to_numpy(zero_copy_only=False).astype(_dtype(kind), copy=False)
                if kind == "float" and np.isinf(values).any():
                    raise _beyond(name, array, values)
                feed[name] = values.reshape(rows, 1)
        return feed


class PyfuncModel:
    """A model as MLflow loads it."""

    def __init__(self, folder: str) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        pyfunc = importlib.import_module("mlflow.pyfunc")
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self._pandas = importlib.import_module("pandas")
        self._model = pyfunc.load_model(folder, suppress_warnings=True)
        found = self._model.metadata.signature
        self.signature = signature_of(found)
        outputs = found.outputs
        self.names = [str(item.name) for item in outputs.inputs if item.name] if outputs else []
        self._types = _output_types(outputs) if outputs else {}

    def type_of(self, name: str, /) -> pa.DataType | None:
        """See `Model`."""
        return self._types.get(name, self._types.get(""))

    def predict(self, columns: dict[str, pa.Array], rows: int) -> dict[str, Any]:
        """See `Model`."""
        return self._named(self.answer(columns), rows)

    def answer(self, columns: dict[str, pa.Array]) -> Any:
        """Return what the model itself answers. Raises whatever the model raises."""
        return self._model.predict(self._frame(columns))

    def example(self, folder: str) -> Any:
        """Return the model's input example where it is a DataFrame or an array, else None."""
        found = self._model.metadata.load_input_example(folder)
        return found if isinstance(found, (self._pandas.DataFrame, np.ndarray)) else None

    def _frame(self, columns: dict[str, pa.Array]) -> Any:
        arrays = {name: to_numpy(array) for name, array in columns.items()}
        if self.signature.width is not None:
            return np.column_stack([*arrays.values()])
        return self._pandas.DataFrame(arrays)

    def _named(self, answer: Any, rows: int) -> dict[str, Any]:
        pandas = self._pandas
        if isinstance(answer, pandas.DataFrame):
            found = {str(name): answer[name].to_numpy() for name in answer.columns}
        elif isinstance(answer, pandas.Series):
            found = named(answer.to_numpy(), self.names)
        elif isinstance(answer, dict):
            found = {str(name): np.asarray(value) for name, value in answer.items()}
        elif isinstance(answer, list) and answer and isinstance(answer[0], dict):
            frame = pandas.DataFrame(answer)
            found = {str(name): frame[name].to_numpy() for name in frame.columns}
        else:
            if hasattr(answer, "toarray"):
                answer = answer.toarray()
            found = named(np.asarray(answer), self.names)
        for name, array in found.items():
            if len(array) != rows:
                raise NotRowByRow(
                    f"the model answered {rows} rows with {len(array)} values of `{name}`"
                )
        return found


class BeyondForm(ValueError):
    """A number that the model takes and its ONNX form does not."""


class NotRowByRow(ValueError):
    """The model's answer has another number of rows than its input."""


def _beyond(name: str, array: pa.Array, read: Any) -> BeyondForm:
    said = array[int(np.flatnonzero(np.isinf(read))[0])].as_py()
    return BeyondForm(
        f"`{name}`: `{said}` is no number that the model's ONNX form takes (32 bits, finite); "
        "with `form: pyfunc` the model itself is asked"
    )


def signature_of(signature: Any) -> Signature:
    """Return what an MLflow signature asks for. Raises Hopeless for what no file of rows can be."""
    if signature is None or signature.inputs is None:
        raise Hopeless(
            "the model has no signature, so rows cannot be checked; log it with "
            "`signature=mlflow.models.infer_signature(inputs, outputs)`"
        )
    schema = signature.inputs
    if not schema.is_tensor_spec():
        return Signature(tuple(_wanted(item) for item in schema.inputs))
    (first, *others) = schema.inputs
    shape, kind = tuple(first.shape), np.dtype(first.type).kind
    if others or first.name or len(shape) != 2 or shape[0] != -1 or kind not in _MATRIX_KINDS:
        raise Hopeless("the model takes tensors, which no columns of a file can be read as")
    return Signature(width=int(shape[1]))


def named(answer: Any, names: list[str]) -> dict[str, Any]:
    """Return an array as columns: of two dimensions one for each, `prediction_0` and so on."""
    if answer.ndim == 2 and len(names) == answer.shape[1]:
        return {name: answer[:, at] for at, name in enumerate(names)}
    one = names[0] if len(names) == 1 else _OUTPUT
    if answer.ndim == 2 and answer.shape[1] == 1:
        return {one: answer[:, 0]}
    if answer.ndim == 2:
        return {f"{one}_{at}": answer[:, at] for at in range(answer.shape[1])}
    return {one: answer}


def _output_types(outputs: Any) -> dict[str, pa.DataType]:
    """Return the types of an answer's columns by name; by no name that of all of them."""
    if outputs.is_tensor_spec():
        found = {str(item.name or ""): _arrow_type(str(item.type)) for item in outputs.inputs}
    else:
        kinds = {str(item.name or ""): getattr(item.type, "name", "") for item in outputs.inputs}
        found = {name: TYPES.get(str(kind)) for name, kind in kinds.items()}
    return {name: kind for name, kind in found.items() if kind is not None}


def _arrow_type(dtype: str | None) -> pa.DataType | None:
    if dtype is None or np.dtype(dtype).kind not in _PLAIN_KINDS:
        return None
    return pa.from_numpy_dtype(np.dtype(dtype))


def _wanted(item: Any) -> Wanted:
    kind = getattr(item.type, "name", None)
    if item.name is None or kind not in (
        *("double", "float", "long", "integer", "boolean", "string", "binary", "datetime"),
    ):
        raise Hopeless(f"`{item.name}` of the model's signature has type `{item.type!r}`")
    return Wanted(str(item.name), str(kind), bool(item.required))


def _dtype(kind: str) -> Any:
    return {"string": object, "float": np.float32, "int64": np.int64, "bool": np.bool_}[kind]
