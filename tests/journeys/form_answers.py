"""Run inside a model environment: answer the same requests by a model and by its ONNX form.

`python form_answers.py FOLDER`, with the runtimes on the path. Saves models of many kinds, converts
each, has the model server's `Model` answer the same requests in both forms, and prints it as JSON.
"""

import json
import sys
import warnings
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pandas as pd
from batchrunner.convert import Unsuitable, convert
from batchrunner.order import Order
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from v2server.codec import decode_request
from v2server.model import Model

ROWS = 300
DRAW = np.random.default_rng(7)
TABLE = pd.DataFrame(
    {
        "carrier": DRAW.choice(["AA", "UA", "DL"], ROWS),
        "distance": DRAW.uniform(100, 3000, ROWS),
        "hour": DRAW.integers(0, 24, ROWS),
    }
)
NUMBERS = TABLE[["distance", "hour"]]
LATE = (TABLE.hour > 15) ^ (TABLE.distance > 1500)


def encoded(last, unknown="ignore"):
    """Return a pipeline that takes the text too."""
    columns = [("text", OneHotEncoder(handle_unknown=unknown), ["carrier"])]
    columns.append(("numbers", "passthrough", ["distance", "hour"]))
    return make_pipeline(ColumnTransformer(columns), last)


def squared(values):
    """Compute what no converter knows."""
    return np.asarray(values) ** 2


def models():
    """Yield the name of a kind, the model, its input and which method answers."""
    words = np.where(LATE, "late", "on time")
    yield "texts", encoded(RandomForestClassifier(10)).fit(TABLE, words), TABLE, "predict"
    yield "odds", encoded(RandomForestClassifier(10)).fit(TABLE, words), TABLE, "predict_proba"
    yield "booleans", HistGradientBoostingClassifier(max_iter=9).fit(NUMBERS, LATE), NUMBERS, None
    whole = LATE.astype("int32").to_numpy() * 7
    yield "whole", LogisticRegression(max_iter=500).fit(NUMBERS, whole), NUMBERS, "predict"
    matrix = NUMBERS.to_numpy()
    yield "matrix", RandomForestRegressor(10).fit(matrix, matrix.sum(axis=1)), matrix, "predict"
    two = RandomForestRegressor(10).fit(NUMBERS, NUMBERS * 2)
    yield "two", two, NUMBERS, "predict"
    column = LinearRegression().fit(NUMBERS, NUMBERS[["distance"]])
    yield "column", column, NUMBERS, "predict"
    single = NUMBERS.astype("float32")
    yield "single", LinearRegression().fit(single, single.hour), single, "predict"
    yield "refusing", encoded(RandomForestClassifier(5), "error").fit(TABLE, words), TABLE, None
    yield "unknown", ComplementNB().fit(NUMBERS, LATE), NUMBERS, "predict_log_proba"
    own = make_pipeline(FunctionTransformer(squared), LinearRegression())
    yield "own", own.fit(NUMBERS, NUMBERS.hour), NUMBERS, "predict"


def requests(inputs):
    """Yield requests of one row and of several, as JSON."""
    for rows in (1, 5):
        if isinstance(inputs, np.ndarray):
            data = inputs[:rows]
            tensor = {"name": "input-0", "shape": list(data.shape), "datatype": "FP64"}
            yield {"inputs": [{**tensor, "data": data.ravel().tolist()}]}
            continue
        kinds = {"O": "BYTES", "i": "INT64", "f": "FP64"}
        yield {
            "inputs": [
                {
                    "name": name,
                    "shape": [rows],
                    "datatype": "FP32"
                    if str(column.dtype) == "float32"
                    else kinds.get(column.dtype.kind, "BYTES"),
                    "data": column[:rows].tolist(),
                }
                for name, column in inputs.items()
            ]
        }


def too_large(request):
    """Return the request with a number in it that single precision has not."""
    for tensor in request["inputs"]:
        if tensor["datatype"] == "FP64":
            tensor["data"][0] = 1e300
    return request


def answers(model, inputs):
    """Return what the server would write for each request."""
    found = []
    for request in (*requests(inputs), *map(too_large, requests(inputs))):
        try:
            answer = model.predict(model.feed(decode_request(json.dumps(request).encode())))
        except ValueError as err:
            found.append([["raised", type(err).__name__, [], [str(err)]]])
            continue
        tensors = model.write(answer, [(name, False) for name in model.names(answer)])
        found.append([[t.name, t.datatype, list(t.shape), t.values] for t in tensors])
    return found


def order_of(folder):
    """Return an order to convert this model by its input example."""
    return Order("", (), str(folder), None, None, "auto", (), 1, 1, "0", {})


def compare(root, name, model, inputs, method):
    """Save, convert and ask one model in both forms."""
    folder, form = root / name, root / f"{name}.form"
    form.mkdir()
    method = method or "predict"
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=infer_signature(inputs, getattr(model, method)(inputs)),
        input_example=inputs[:4],
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
        pyfunc_predict_fn=method,
    )
    try:
        found = convert(order_of(folder), form)
    except Unsuitable as err:
        return {"form": "pyfunc", "why": str(err)}
    (form / "form.json").write_text(json.dumps(found))
    return {
        "form": "onnx",
        "why": found["why"],
        "compared": found["compared"],
        "before": answers(Model(str(folder)), inputs),
        "after": answers(Model(str(folder), str(form)), inputs),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    target = Path(sys.argv[1])
    told = {name: compare(target, name, *rest) for name, *rest in models()}
    print(json.dumps(told))
