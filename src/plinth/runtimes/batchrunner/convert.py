"""Convert a model to ONNX and compare both on rows: `python -m batchrunner.convert ORDER FOLDER`.

Runs in the model's own environment with skl2onnx and onnxruntime beside it. Writes `model.onnx`
and, at last, `form.json`, which says which form answers from now on, and why.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .inputs import Checked, Signature, check_rows, needed
from .journal import write_json
from .leave_path import leave_path
from .order import Hopeless, Order, read_order
from .predictors import Model, OnnxModel, PyfuncModel
from .reader import index_file, open_file
from .rows import Rows
from .varied import varied

# Both forms must agree on every number to within this, on every text and whole number exactly.
ABSOLUTE, RELATIVE = 1e-5, 1e-4
TOLERANCE = f"{ABSOLUTE:g} + {RELATIVE:g} x the value"
_ROWS = 5000
_FILES = 5
# Of fewer rows than these others are made, like those of the input example.
_FEW = 1000
# How often one row is answered to see how long it takes.
_TIMES = 5
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
    layouts = list(_layouts(reference.signature, estimator))
    samples = _all_samples(order, reference)
    reasons = []
    for types, matrix in layouts:
        try:
            form = _converted(estimator, predict, types, matrix, folder)
        except Exception as err:  # noqa: BLE001 - a converter raises whatever it does not know
            reasons.append(f"{type(err).__name__}: {' '.join(str(err).split())}"[:300])
            continue
        form |= {"names": reference.names, "signature": reference.signature.to_json()}
        form["answer"] = _answer_of(reference, samples[0])
        try:
            compared = _compared(OnnxModel(folder, form), reference, samples)
        except Unsuitable as err:
            reasons.append(str(err)[:300])
            continue
        except Exception as err:  # noqa: BLE001 - ONNX Runtime refuses what it cannot run
            reasons.append(f"{type(err).__name__}: {' '.join(str(err).split())}"[:300])
            continue
        if compared["agrees"]:
            return {**form, "form": "onnx", "why": _why(compared), "compared": compared}
        reasons.append(
            f"its answers differ by up to {compared['largest_difference']:.3g} "
            f"(allowed: {TOLERANCE})"
        )
    raise Unsuitable("; or ".join(dict.fromkeys(reasons)) or "nothing converts it")


def _why(compared: dict[str, Any]) -> str:
    difference = compared["largest_difference"]
    said = "no difference" if not difference else f"the largest difference {difference:.1g}"
    return f"it answers {compared['rows']:,} rows as before, {said}"


def _all_samples(order: Order, reference: PyfuncModel) -> list[Checked]:
    """Return rows to compare both forms on. Raises Unsuitable where there are none."""
    example = _example(order, reference)
    own = [] if example is None else _checked(example, reference.signature)
    found = (_within(sample) for sample in (*own, *_samples(order, reference.signature)))
    samples = [sample for sample in found if sample.count]
    if not samples:
        raise Unsuitable("there are no rows to compare both forms on")
    if example is not None and sum(sample.count for sample in samples) < _FEW:
        for table in varied(example, reference.signature):
            samples += _checked(table, reference.signature)
    return samples


def _within(sample: Checked) -> Checked:
    """Leave out the rows with a number that ONNX is not asked about: see `BeyondForm`."""
    fit = np.ones(sample.count, dtype=bool)
    for array in sample.columns.values():
        if pa.types.is_floating(array.type):
            with np.errstate(over="ignore"):
                fit &= ~np.isinf(array.to_numpy(zero_copy_only=False).astype(np.float32))
    if fit.all():
        return sample
    some = np.flatnonzero(fit)
    columns = {name: array.take(pa.array(some)) for name, array in sample.columns.items()}
    return replace(sample, columns=columns, kept={}, chosen=some, places=some)


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
        except (Hopeless, OSError, ValueError, pa.ArrowException):
            # Who answers this file says so; here it is only no sample.
            continue
        if checked.count:
            yield checked


def _example(order: Order, reference: PyfuncModel) -> pa.Table | None:
    """Return the model's own input example, where it is a table or a matrix."""
    example, signature = reference.example(order.model), reference.signature
    try:
        if isinstance(example, np.ndarray):
            if signature.width is None or example.ndim != 2 or example.shape[1] != signature.width:
                return None
            names = [f"x{place}" for place in range(signature.width)]
            return pa.table(dict(zip(names, example.astype(np.float64).T)))  # noqa: B905 - as many
        columns = [each.name for each in signature.columns if each.name in example]
        required = {each.name for each in signature.columns if each.required}
        if not columns or not required.issubset(columns):
            return None
        return pa.Table.from_pandas(example[columns], preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError):
        return None


def _checked(table: pa.Table, signature: Signature) -> list[Checked]:
    checked = check_rows(Rows(table, range(table.num_rows), ()), signature, ())
    return [checked] if checked.count else []


def _answer_of(reference: PyfuncModel, sample: Checked) -> dict[str, Any]:
    """Return what an answer of the model itself is like, so that ONNX can answer alike."""
    answer = reference.answer(_first(sample))
    if not isinstance(answer, np.ndarray) or answer.ndim not in (1, 2):
        raise Unsuitable(f"it answers a {type(answer).__name__}, not a plain array")
    return {"kind": answer.dtype.kind, "dtype": str(answer.dtype), "dimensions": answer.ndim}


def _first(sample: Checked) -> dict[str, pa.Array]:
    return {name: array.slice(0, 1) for name, array in sample.columns.items()}


def _compared(model: OnnxModel, reference: PyfuncModel, samples: list[Checked]) -> dict[str, Any]:
    agrees, largest = True, 0.0
    both: list[Checked] = []
    for sample in samples:
        expected, answered = _tried(reference, sample), _tried(model, sample)
        if isinstance(expected, Exception) and isinstance(answered, Exception):
            continue
        if isinstance(expected, Exception):
            raise Unsuitable(f"it answers rows for which the model itself raises: {expected}")
        if isinstance(answered, Exception):
            raise answered
        both.append(sample)
        if list(expected) != list(answered):
            raise Unsuitable(f"it answers {list(answered)} in the place of {list(expected)}")
        for name, before in expected.items():
            alike, difference = _difference(before, answered[name])
            agrees, largest = agrees and alike, max(largest, difference)
    if not both:
        raise Unsuitable("the model raises for every row of the comparison")
    many = max(both, key=lambda sample: sample.count)
    return {
        "agrees": agrees,
        "rows": sum(sample.count for sample in both),
        "largest_difference": largest,
        "tolerance": TOLERANCE,
        "speed": {
            "pyfunc": _speed(reference, many),
            "onnx": _speed(model, many),
        },
    }


def _tried(model: Model, sample: Checked) -> Any:
    """Return the answer, or what the model raised."""
    try:
        return model.predict(sample.columns, sample.count)
    except Exception as err:  # noqa: BLE001 - a model raises anything
        return err


def _speed(model: Model, sample: Checked) -> dict[str, float]:
    """Return for how many milliseconds one row is waited for, and how many rows a second it does.

    The shortest of a few times: others want the processor too.
    """
    one = _first(sample)
    shortest = min(_took(model, one, 1) for _ in range(_TIMES))
    together = _took(model, sample.columns, sample.count)
    return {
        "one_row_ms": round(shortest * 1000, 4),
        "rows_per_s": round(sample.count / together, 1),
    }


def _took(model: Model, columns: dict[str, pa.Array], rows: int) -> float:
    begun = time.perf_counter()
    model.predict(columns, rows)
    return max(time.perf_counter() - begun, 1e-9)


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
    target.mkdir(mode=0o700, exist_ok=True)
    try:
        form = convert(read_order(order_path), target)
    except (Unsuitable, Hopeless) as err:
        form = {"form": "pyfunc", "why": str(err)}
    write_json(target / "form.json", form)
    print(f"the model answers as {form['form']}: {form['why']}", flush=True)  # noqa: T201 - its log
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
