"""Convert a model to ONNX and compare both on rows: `python -m batchrunner.convert ORDER FOLDER`.

Runs in the model's own environment with skl2onnx and onnxruntime beside it. Writes `model.onnx`
and, at last, `form.json`, which says which form answers from now on, and why.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .inputs import Checked, Signature, check_rows, needed
from .journal import write_json
from .leave_path import leave_path
from .order import Hopeless, Order, read_order
from .predictors import OnnxModel, PyfuncModel
from .reader import index_file, open_file
from .rows import Rows

# Both forms must agree on every number to within this, on every text and whole number exactly.
ABSOLUTE, RELATIVE = 1e-5, 1e-4
TOLERANCE = f"{ABSOLUTE:g} + {RELATIVE:g} x the value"
_ROWS = 5000
_FILES = 5
# MLflow's types that ONNX has.
_KINDS = {
    "double": "float",
    "float": "float",
    "long": "int64",
    "integer": "int64",
    "boolean": "bool",
    "string": "string",
}
_NUMBERS = ("float", "int64", "bool")


class Unsuitable(Exception):
    """The model stays as it is; the message says why."""


def convert(order: Order, folder: Path) -> dict[str, Any]:
    """Return the form that was found, with the comparison; `model.onnx` is there if it is ONNX."""
    estimator, predict = _estimator(Path(order.model))
    reference = PyfuncModel(order.model)
    samples = [*_example(order, reference), *_samples(order, reference.signature)]
    if not samples:
        raise Unsuitable("there are no rows to compare both forms on")
    reasons = []
    for types, matrix in _layouts(reference.signature, estimator):
        try:
            form = _converted(estimator, predict, types, matrix, folder)
        except Exception as err:  # noqa: BLE001 - a converter raises whatever it does not know
            reasons.append(f"{type(err).__name__}: {' '.join(str(err).split())}"[:300])
            continue
        form |= {"names": reference.names, "signature": reference.signature.to_json()}
        try:
            compared = _compared(OnnxModel(folder, form), reference, samples)
        except Exception as err:  # noqa: BLE001 - ONNX Runtime refuses what it cannot run
            reasons.append(f"{type(err).__name__}: {' '.join(str(err).split())}"[:300])
            continue
        if compared["agrees"]:
            why = (
                f"it answers {compared['rows']:,} rows as before, the largest difference "
                f"{compared['largest_difference']:.1g}"
            )
            return {**form, "form": "onnx", "why": why, "compared": compared}
        reasons.append(
            f"its answers differ by up to {compared['largest_difference']:.3g} "
            f"(allowed: {TOLERANCE})"
        )
    raise Unsuitable("; or ".join(dict.fromkeys(reasons)) or "nothing converts it")


def _estimator(model: Path) -> tuple[Any, str]:
    """Return the scikit-learn model within an MLflow model, and which of its methods answers."""
    mlmodel = importlib.import_module("mlflow.models").Model.load(str(model))
    if "sklearn" not in mlmodel.flavors:
        kinds = ", ".join(sorted(mlmodel.flavors))
        raise Unsuitable(f"only models of scikit-learn are converted; this one is {kinds}")
    predict = mlmodel.flavors["python_function"].get("predict_fn", "predict")
    if predict not in ("predict", "predict_proba"):
        raise Unsuitable(f"it answers by `{predict}`, which ONNX has not")
    return importlib.import_module("mlflow.sklearn").load_model(str(model)), predict


def _layouts(signature: Signature, estimator: Any) -> Iterator[tuple[dict[str, str], str | None]]:
    """Yield ways to hand the input over: named columns of their types, or one matrix of numbers."""
    if signature.width is not None:
        yield {}, "input"
        return
    types = {}
    for each in signature.columns:
        if each.type not in _KINDS:
            raise Unsuitable(f"its column `{each.name}` is of type {each.type}, which ONNX has not")
        types[each.name] = _KINDS[each.type]
    if all(kind in _NUMBERS for kind in types.values()) and not _takes_columns(estimator):
        yield {}, "input"
        return
    yield types, None
    if "int64" in types.values():
        yield {n: "float" if kind == "int64" else kind for n, kind in types.items()}, None


def _takes_columns(estimator: Any) -> bool:
    """Tell whether the first step picks columns by name."""
    first = estimator.steps[0][1] if hasattr(estimator, "steps") else estimator
    return hasattr(first, "transformers")


def _converted(
    estimator: Any, predict: str, types: dict[str, str], matrix: str | None, folder: Path
) -> dict[str, Any]:
    """Write `model.onnx`; return what is known of it."""
    trees = importlib.import_module(".trees", __package__)
    trees.register()
    skl2onnx = importlib.import_module("skl2onnx")
    kinds = importlib.import_module("skl2onnx.common.data_types")
    known = {
        "float": kinds.FloatTensorType,
        "int64": kinds.Int64TensorType,
        "bool": kinds.BooleanTensorType,
        "string": kinds.StringTensorType,
    }
    if matrix is not None:
        initial = [(matrix, kinds.FloatTensorType([None, estimator.n_features_in_]))]
    else:
        initial = [(name, known[kind]([None, 1])) for name, kind in types.items()]
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    is_classifier = hasattr(last, "classes_")
    options = {id(last): {"zipmap": False}} if is_classifier else None
    converted = skl2onnx.to_onnx(estimator, initial_types=initial, options=options)
    content: bytes = converted.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    outputs = [output.name for output in converted.graph.output]
    return {
        "output": outputs[1] if predict == "predict_proba" else outputs[0],
        "types": types,
        "matrix": matrix,
        "digest": hashlib.sha256(content).hexdigest(),
        "converter": f"skl2onnx {importlib.metadata.version('skl2onnx')}",
    }


def _samples(order: Order, signature: Signature) -> Iterator[Checked]:
    """Yield rows of the run's own input that fit the signature, of a few of its files."""
    step = max(1, len(order.files) // _FILES)
    chosen = list(range(0, len(order.files), step))[:_FILES]
    for number in chosen:
        path = order.path_of(number)
        size = _ROWS // len(chosen)
        try:
            index = index_file(number, path, size)
            if not index.rows:
                continue
            reader = open_file(path, index, size)
            rows = reader.read(0, needed(signature, order.keep, reader.columns))
            checked = check_rows(rows, signature, order.keep)
        except Hopeless:
            # Who answers this file says so; here it is only no sample.
            continue
        if checked.count:
            yield checked


def _example(order: Order, reference: PyfuncModel) -> Iterator[Checked]:
    """Yield the model's own input example, where it is a table."""
    example = reference.example(order.model)
    columns = {each.name for each in reference.signature.columns}
    if example is None or not columns or not columns.issubset(example.columns):
        return
    table = pa.Table.from_pandas(example, preserve_index=False)
    checked = check_rows(Rows(table, range(table.num_rows), ()), reference.signature, ())
    if checked.count:
        yield checked


def _compared(model: OnnxModel, reference: PyfuncModel, samples: list[Checked]) -> dict[str, Any]:
    agrees, largest, rows = True, 0.0, 0
    for sample in samples:
        expected = reference.predict(sample.columns, sample.count)
        answered = model.predict(sample.columns, sample.count)
        rows += sample.count
        if list(expected) != list(answered):
            raise Unsuitable(f"it answers {list(answered)} in the place of {list(expected)}")
        for name, before in expected.items():
            alike, difference = _difference(before, answered[name])
            agrees, largest = agrees and alike, max(largest, difference)
    return {
        "agrees": agrees,
        "rows": rows,
        "largest_difference": largest,
        "tolerance": TOLERANCE,
    }


def _difference(before: Any, after: Any) -> tuple[bool, float]:
    """Tell whether two arrays agree, and by how much their numbers differ at most."""
    before, after = np.asarray(before), np.asarray(after)
    if before.dtype.kind != "f":
        same = bool(np.array_equal(before.astype(after.dtype), after))
        return same, 0.0 if same else float("inf")
    wide = after.astype(np.float64)
    alike = np.allclose(wide, before, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
    gap = np.abs(wide - before)
    return bool(alike), float(np.nanmax(gap)) if gap.size and not np.isnan(gap).all() else 0.0


def main() -> int:
    """Write what was found; return 0 also where the model stays as it is."""
    leave_path()
    order_path, target = map(Path, sys.argv[1:])
    try:
        form = convert(read_order(order_path), target)
    except (Unsuitable, Hopeless) as err:
        form = {"form": "pyfunc", "why": str(err)}
    write_json(target / "form.json", form)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
