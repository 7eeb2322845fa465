"""An MLflow model folder as something that answers V2 requests.

Imports mlflow, which takes seconds: `__main__` loads this module in the model's thread while the
server already answers health checks.
"""

from __future__ import annotations

import base64
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.types.schema import DataType

from .batcher import Feed
from .codec import encode_json
from .conversion import (
    Unspeakable,
    datatype_of,
    from_prediction,
    to_array,
    to_frame,
    to_index,
    to_tensor,
)
from .signature import check_inputs, merge_key
from .tensors import Declared, InferRequest, Refused, Tensor, stack

_COLUMNS = {
    DataType.boolean: ("BOOL", "text"),
    DataType.integer: ("INT32", "text"),
    DataType.long: ("INT64", "text"),
    DataType.float: ("FP32", "text"),
    DataType.double: ("FP64", "text"),
    DataType.string: ("BYTES", "text"),
    DataType.binary: ("BYTES", "base64"),
    DataType.datetime: ("BYTES", "datetime"),
}


class NotServable(Exception):
    """The folder loads but cannot be served by this protocol; the message says why."""


class NoExample(LookupError):
    """The model has no input example that can be sent; the message says why."""


@dataclass(frozen=True)
class _Payload:
    tensors: dict[str, Tensor]
    params: dict[str, Any] | None


class Model:
    """A loaded model. `predict`, `merge`, `split` and `example` run in the model's thread."""

    platform = "mlflow_pyfunc"

    def __init__(self, folder: str, form: str | None = None) -> None:
        """Load the model; `form`: the folder of its ONNX form, which answers in its place."""
        self._folder = folder
        self._pyfunc = mlflow.pyfunc.load_model(folder, suppress_warnings=True)
        signature = self._pyfunc.metadata.signature
        if signature is None or signature.inputs is None:
            raise NotServable(
                "the model has no signature, so requests cannot be checked; save it with "
                "`signature=mlflow.models.infer_signature(inputs, outputs)`"
            )
        self.inputs = {item.name: item for item in _declare(signature.inputs, "input")}
        self.outputs = _declare(signature.outputs, "output") if signature.outputs else []
        self._columnar = not signature.inputs.is_tensor_spec()
        self._named = signature.inputs.has_input_names()
        self._index = to_index(list(self.inputs) if self._named else range(len(self.inputs)))
        self._output_names = [item.name for item in self.outputs]
        params = getattr(signature, "params", None)
        self._param_names = [item.name for item in params] if params else []
        self._call = _direct_call(self._pyfunc) if self._columnar and not params else None
        self._example: bytes | None = None
        self._form: Any = None
        if form is not None:
            # By name and not at the top: onnxruntime is there only where a form is given.
            module = importlib.import_module(f"{__package__}.onnx_form")
            self._form = module.OnnxForm(Path(form))

    def feed(self, request: InferRequest) -> Feed:
        """Hold the request against the signature; cheap, for the event loop. Raises Refused."""
        tensors, rows = check_inputs(request.inputs, self.inputs)
        params = {k: v for k, v in request.parameters.items() if k in self._param_names} or None
        key = None if params else merge_key(tensors, self.inputs)
        return Feed(key, rows, _Payload(tensors, params))

    def predict(self, feed: Feed) -> dict[str, Any]:
        """Return the model's answer as named arrays.

        Raises Refused where the input is at fault, and anything that the model raises.
        """
        payload: _Payload = feed.payload
        arrays = {
            name: to_array(tensor, self.inputs[name]) for name, tensor in payload.tensors.items()
        }
        return from_prediction(self._predict(arrays, payload.params), self._output_names)

    def merge(self, feeds: Sequence[Feed]) -> Feed:
        """Return feeds of one key as one."""
        parts: list[dict[str, Tensor]] = [feed.payload.tensors for feed in feeds]
        merged = {name: stack([part[name] for part in parts]) for name in parts[0]}
        return Feed(feeds[0].key, sum(feed.rows for feed in feeds), _Payload(merged, None))

    def split(self, answer: dict[str, Any], feeds: Sequence[Feed]) -> list[Any] | None:
        """Return each feed's rows of a merged answer; None when an output is not row by row."""
        total = sum(feed.rows for feed in feeds)
        if any(len(array) != total for array in answer.values()):
            return None
        parts: list[Any] = []
        start = 0
        for feed in feeds:
            stop = start + feed.rows
            parts.append({name: array[start:stop] for name, array in answer.items()})
            start = stop
        return parts

    def names(self, answer: dict[str, Any]) -> list[str]:
        """Return the names of the answer's outputs."""
        return list(answer)

    def write(self, answer: dict[str, Any], wanted: Sequence[tuple[str, bool]]) -> list[Tensor]:
        """Return the wanted outputs as tensors, each as binary or as JSON values."""
        return [to_tensor(name, answer[name], binary=binary) for name, binary in wanted]

    def example(self) -> bytes:
        """Return `{"request", "expected"}` as JSON: a V2 body and the model's own answer to it.

        `expected` comes from `mlflow.pyfunc` on the example as MLflow loads it, so that comparing
        it with what `/infer` answers checks every conversion on the way. Computed once.
        Raises NoExample.
        """
        if self._example is None:
            example = self._pyfunc.metadata.load_input_example(self._folder)
            if example is None:
                raise NoExample(
                    "the model was saved without an input example; "
                    "pass `input_example=` when you log it"
                )
            request: dict[str, Any] = {"inputs": self._example_inputs(example)}
            params = self._pyfunc.metadata.load_input_example_params(self._folder)
            if params:
                request["parameters"] = params
            # A copy, because some models write into what they are given.
            answer = self._pyfunc.predict(
                _copied(example), **({"params": params} if params else {})
            )
            expected = from_prediction(answer, self._output_names)
            outputs = [_described(to_tensor(n, a, binary=False)) for n, a in expected.items()]
            self._example = encode_json({"request": request, "expected": outputs})
        return self._example

    def _predict(self, arrays: Mapping[str, Any], params: dict[str, Any] | None) -> Any:
        if self._form is not None and params is None:
            answer = self._form.predict(arrays)
            if answer is not None:
                return answer
        if self._columnar:
            data = to_frame(list(arrays.values()), self._index_of(arrays))
            if self._call is not None:
                return self._call(data)
        else:
            data = dict(arrays) if self._named else next(iter(arrays.values()))
        try:
            return self._pyfunc.predict(data, **({"params": params} if params else {}))
        except MlflowException as err:
            if "schema" in str(err) and err.error_code == "INVALID_PARAMETER_VALUE":
                raise Refused(f"the model's signature refuses the input: {err.message}") from err
            raise

    def _index_of(self, arrays: Mapping[str, Any]) -> Any:
        if len(arrays) == len(self.inputs):
            return self._index
        return to_index(list(arrays) if self._named else range(len(arrays)))

    def _example_inputs(self, example: Any) -> list[dict[str, Any]]:
        arrays = _example_columns(example) if self._columnar else _example_tensors(example)
        if not self._named:
            arrays = dict(zip(self.inputs, arrays.values()))  # noqa: B905 - as many as inputs
        inputs: list[dict[str, Any]] = []
        for name, want in self.inputs.items():
            if name in arrays:
                inputs.append(_example_tensor(arrays[name], want))
            elif want.required:
                raise NoExample(f"the model's input example has no `{name}`")
        return inputs


def _declare(schema: Any, prefix: str) -> list[Declared]:
    if schema.is_tensor_spec():
        return [_declare_tensor(item, f"{prefix}-{at}") for at, item in enumerate(schema.inputs)]
    return [_declare_column(item, f"{prefix}-{at}") for at, item in enumerate(schema.inputs)]


def _declare_tensor(spec: Any, fallback: str) -> Declared:
    name = spec.name or fallback
    try:
        datatype = datatype_of(np.dtype(spec.type))
    except Unspeakable as err:
        raise NotServable(f"`{name}` of the model's signature: {err}") from err
    content = "datetime" if np.dtype(spec.type).kind == "M" else "text"
    return Declared(name, datatype, tuple(spec.shape), content)


def _declare_column(spec: Any, fallback: str) -> Declared:
    name = str(spec.name if spec.name is not None else fallback)
    # MLflow's type `any` has no hash.
    if not isinstance(spec.type, DataType) or spec.type not in _COLUMNS:
        raise NotServable(
            f"`{name}` of the model's signature has type `{spec.type!r}`, which is no V2 tensor; "
            f"accepted: {', '.join(kind.name for kind in _COLUMNS)}"
        )
    datatype, content = _COLUMNS[spec.type]
    nullable = not spec.required and (datatype == "BYTES" or datatype.startswith("FP"))
    return Declared(name, datatype, (-1,), content, nullable, spec.required, column=True)


def _direct_call(pyfunc: Any) -> Callable[[Any], Any] | None:
    """Return the model's own predict function, None where MLflow does more than check the schema.

    MLflow checks and rebuilds the DataFrame on each call (0.6 ms for four columns). Our codec has
    built exactly the columns and types of the signature, so nothing is left to check. The
    readiness check compares an answer of this way with one of MLflow's own.
    """
    described = pyfunc.metadata.to_dict()
    if described.get("is_signature_from_type_hint") or described.get("type_hint_from_example"):
        return None
    implementation = getattr(pyfunc, "_model_impl", None)
    name = pyfunc.metadata.flavors["python_function"].get("predict_fn", "predict")
    function = getattr(implementation, name, None)
    if function is None:
        return None
    params = inspect.signature(function).parameters.get("params")
    if params is not None and params.default is inspect.Parameter.empty:
        return None
    return function  # type: ignore[no-any-return]


def _copied(example: Any) -> Any:
    return example.copy() if hasattr(example, "copy") else example


def _example_columns(example: Any) -> dict[Any, Any]:
    if isinstance(example, dict):
        flat = not any(isinstance(value, (list, np.ndarray)) for value in example.values())
        example = pd.DataFrame([example] if flat else example)
    elif not isinstance(example, pd.DataFrame):
        example = pd.DataFrame(example if np.ndim(example) else [example])
    return {name: example[name] for name in example.columns}


def _example_tensors(example: Any) -> dict[Any, Any]:
    if isinstance(example, dict):
        return {name: np.asarray(value) for name, value in example.items()}
    if hasattr(example, "toarray"):
        example = example.toarray()
    return {None: np.asarray(example)}


def _example_tensor(array: Any, want: Declared) -> dict[str, Any]:
    """Return one input of the example as the protocol's JSON."""
    flat = array.ravel() if isinstance(array, np.ndarray) else array
    values = [_example_value(value, want) for value in flat]
    if None in values and not want.nullable:
        raise NoExample(
            f"`{want.name}` of the input example has a missing value, which JSON "
            f"cannot say for this model's signature"
        )
    shape = [len(values)] if want.column else list(array.shape)
    return {"name": want.name, "shape": shape, "datatype": want.datatype, "data": values}


def _example_value(value: Any, want: Declared) -> Any:
    if value is None or (np.isscalar(value) and pd.isna(value)) or value is pd.NaT:
        return None
    if want.datatype == "BOOL":
        return bool(value)
    if want.datatype.startswith("FP"):
        return float(value)
    if want.datatype != "BYTES":
        return int(value)
    if want.content == "base64":
        return base64.b64encode(value).decode()
    if want.content == "datetime":
        return pd.Timestamp(value).isoformat()
    return value.decode() if isinstance(value, bytes) else str(value)


def _described(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "datatype": tensor.datatype,
        "data": tensor.values,
    }
