"""Between the protocol's tensors and numpy: checked inputs in, a model's answer out.

Needs numpy and pandas, so it is imported only inside a model's environment.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .tensors import Declared, Refused, Tensor

NUMPY = {
    "BOOL": np.dtype("bool"),
    "INT8": np.dtype("int8"),
    "INT16": np.dtype("int16"),
    "INT32": np.dtype("int32"),
    "INT64": np.dtype("int64"),
    "UINT8": np.dtype("uint8"),
    "UINT16": np.dtype("uint16"),
    "UINT32": np.dtype("uint32"),
    "UINT64": np.dtype("uint64"),
    "FP16": np.dtype("float16"),
    "FP32": np.dtype("float32"),
    "FP64": np.dtype("float64"),
    "BYTES": np.dtype("object"),
}
_DATATYPES = {dtype.name: datatype for datatype, dtype in NUMPY.items() if datatype != "BYTES"}


class Unspeakable(TypeError):
    """The model answered with something that no V2 tensor can hold."""


def datatype_of(dtype: Any) -> str:
    """Return the protocol's datatype for a numpy dtype. Raises Unspeakable (complex numbers)."""
    if dtype.kind in "OUSMm":
        return "BYTES"
    if dtype.name not in _DATATYPES:
        raise Unspeakable(f"numpy type `{dtype}` has no V2 datatype")
    return _DATATYPES[dtype.name]


def to_array(tensor: Tensor, want: Declared) -> Any:
    """Return the checked input as a numpy array of the declared type and the given shape.

    A column comes out with shape `(n,)`. Raises Refused for text that is not what the column
    holds, and for NaN where the signature allows no missing value.
    """
    dtype = NUMPY[want.datatype]
    if tensor.raw is not None:
        sent = NUMPY[tensor.datatype].newbyteorder("<")
        # A copy, because models may write into their input and the raw bytes are read-only.
        array = np.frombuffer(tensor.raw, sent).astype(dtype)
        if want.column and not want.nullable and dtype.kind == "f" and np.isnan(array).any():
            raise Refused(
                f"input `{tensor.name}`: NaN at position {int(np.isnan(array).argmax())}; the "
                f"model's signature allows no missing value here"
            )
    elif want.datatype == "BYTES":
        array = _text_array(tensor, want)
    else:
        array = np.array(tensor.values, dtype)
    shape = tensor.shape[:1] if want.column else tensor.shape
    return array if array.shape == shape else array.reshape(shape)


def _text_array(tensor: Tensor, want: Declared) -> Any:
    values = tensor.values or []
    if want.content == "base64":
        values = [_from_base64(value, tensor.name) for value in values]
    else:
        values = [_to_text(value, tensor.name) for value in values]
    if want.content == "datetime":
        return _to_datetimes(values, tensor.name)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _to_text(value: Any, name: str) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as err:
        raise Refused(f"input `{name}`: {value[:20]!r} is not UTF-8") from err


def _from_base64(value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as err:
        raise Refused(f"input `{name}`: `{value[:20]}` is not base64") from err


def _to_datetimes(values: Sequence[Any], name: str) -> Any:
    try:
        moments = pd.to_datetime(pd.Series(values, dtype=object), format="ISO8601")
        if moments.dt.tz is None:
            return moments.to_numpy(dtype="datetime64[ns]")
        problem = "it has a time zone, which MLflow's columns do not"
    except (ValueError, TypeError, OverflowError) as err:
        problem = str(err)
    raise Refused(
        f"input `{name}`: not an ISO 8601 time without a time zone, like `2026-01-31T12:30:00`: "
        f"{problem}"
    )


def to_index(names: Sequence[Any]) -> Any:
    """Return column labels to build many tables with; making them anew costs 30 us a table."""
    return pd.Index(list(names))


def to_frame(arrays: Sequence[Any], index: Any) -> Any:
    """Return columns of one length as a DataFrame with the labels of `index`.

    Columns of one numeric type become one block: models turn the table into a matrix at once, and
    that is three times cheaper from one block than from many.
    """
    kinds = {array.dtype for array in arrays}
    if len(kinds) == 1 and arrays[0].dtype.kind in "biuf":
        return pd.DataFrame(np.column_stack(arrays), columns=index.view(), copy=False)
    frame = pd.DataFrame(dict(enumerate(arrays)), copy=False)
    frame.columns = index.view()
    return frame


def from_prediction(prediction: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return a model's answer as named arrays; `names` are the signature's outputs, maybe none.

    Accepts arrays, DataFrame, Series, list, tuple, dict, sparse matrix and scalars. Raises
    Unspeakable for anything else.
    """
    if isinstance(prediction, (list, tuple)) and prediction and isinstance(prediction[0], dict):
        prediction = pd.DataFrame(list(prediction))
    if isinstance(prediction, pd.DataFrame):
        return {str(name): _to_plain(prediction[name]) for name in prediction.columns}
    if isinstance(prediction, dict):
        return {str(name): _to_plain(value) for name, value in prediction.items()}
    if isinstance(prediction, pd.Series):
        own = str(prediction.name) if prediction.name is not None else "output-0"
        return {names[0] if len(names) == 1 else own: _to_plain(prediction)}
    if hasattr(prediction, "toarray"):
        prediction = prediction.toarray()
    array = _to_plain(prediction)
    if len(names) > 1 and array.ndim == 2 and array.shape[1] == len(names):
        return {name: array[:, place] for place, name in enumerate(names)}
    return {names[0] if len(names) == 1 else "output-0": array}


def _to_plain(value: Any) -> Any:
    """Return a numpy array with a first dimension, of a dtype that has a V2 datatype."""
    if isinstance(value, pd.Series) and not isinstance(value.dtype, np.dtype):
        value = _from_extension(value)
    try:
        array = np.atleast_1d(np.asarray(value))
    except ValueError as err:
        raise Unspeakable(f"the answer's rows differ in length: {err}") from err
    if array.dtype.kind == "O":
        array = _from_objects(array)
    datatype_of(array.dtype)
    return array


def _from_extension(series: Any) -> Any:
    """Return a pandas extension column (nullable numbers, text, categories) as numpy."""
    if pd.api.types.is_numeric_dtype(series.dtype) and not series.isna().any():
        return series.to_numpy(dtype=series.dtype.numpy_dtype)
    if pd.api.types.is_float_dtype(series.dtype) or pd.api.types.is_integer_dtype(series.dtype):
        return series.to_numpy(dtype="float64", na_value=np.nan)
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        return series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    return series.astype(object).to_numpy()


def _from_objects(array: Any) -> Any:
    """Return Python objects as the numbers they are, else as text; None stays a missing value."""
    kinds = {type(value) for value in array.ravel().tolist()}
    if kinds <= {str, bytes, type(None)}:
        return array
    if kinds <= {bool, np.bool_} or kinds <= {int, float}:
        return np.array(array.tolist())
    missing = {None: np.nan}
    if kinds <= {int, float, type(None)}:
        flat = [missing.get(value, value) for value in array.ravel().tolist()]
        return np.array(flat, dtype="float64").reshape(array.shape)
    if all(isinstance(value, (str, bytes)) or pd.isna(value) for value in array.ravel()):
        flat = array.ravel().copy()
        flat[[not isinstance(value, (str, bytes)) for value in flat]] = None
        return flat.reshape(array.shape)
    shown = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise Unspeakable(f"the answer holds objects ({shown}) that no V2 tensor can hold")


def to_tensor(name: str, array: Any, *, binary: bool) -> Tensor:
    """Return an array as a tensor to send, with its data as binary or as JSON values."""
    datatype = datatype_of(array.dtype)
    if datatype == "BYTES":
        return Tensor(name, datatype, array.shape, _text_values(array, binary=binary))
    if binary:
        little = array.dtype.newbyteorder("<")
        return Tensor(name, datatype, array.shape, raw=array.astype(little, copy=False).tobytes())
    return Tensor(name, datatype, array.shape, array.ravel().tolist())


def _text_values(array: Any, *, binary: bool) -> list[Any]:
    if array.dtype.kind in "Mm":
        texts = np.datetime_as_string(array) if array.dtype.kind == "M" else array.astype(str)
        return [None if text == "NaT" else text for text in texts.ravel().tolist()]
    values: list[Any] = array.ravel().tolist()
    if binary:
        return values
    return [base64.b64encode(v).decode() if isinstance(v, bytes) else v for v in values]
