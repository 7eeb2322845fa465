"""Run inside a model environment: save the models that `test_v2server` serves.

`python v2server_models.py FOLDER`. Requirements are pinned by hand: MLflow's inference of them
takes seconds for each model.
"""

import sys
import time
from pathlib import Path

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

TYPES = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")


class Echo(mlflow.pyfunc.PythonModel):
    """Answers with its input; fails or waits when the text says so."""

    def predict(self, context, model_input, params=None):
        texts = model_input["string"].tolist()
        if "raise" in texts:
            raise RuntimeError("told to raise")
        if "slow" in texts:
            time.sleep(1.5)
        return model_input


def save_columns(folder):
    rng = np.random.default_rng(0)
    rows = 400
    table = pd.DataFrame(
        {
            "distance": rng.uniform(100, 3000, rows),
            "hour": rng.integers(0, 24, rows),
            "carrier": rng.choice(["AA", "UA", "DL"], rows),
            "temp": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
        }
    )
    late = ((table.hour > 15) & (table.distance > 1000)).astype(int)
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = make_pipeline(
        make_column_transformer((encode, ["carrier"]), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=20),
    ).fit(table, late)
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=infer_signature(table, model.predict(table)),
        input_example=table.head(5),
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
    )


def save_tensor(folder):
    inputs = np.arange(40, dtype="float64").reshape(10, 4)
    model = LinearRegression().fit(inputs, inputs.sum(axis=1))
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=infer_signature(inputs, model.predict(inputs)),
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
    )


def save_types(folder):
    columns = Schema([ColSpec(kind, kind, required=kind != "double") for kind in TYPES])
    example = pd.DataFrame(
        {
            "boolean": [True, False],
            "integer": np.array([1, -2], "int32"),
            "long": [2**60, -3],
            "float": np.array([0.5, 1.5], "float32"),
            "double": [0.1, np.nan],
            "string": ["a", "ü"],
            "binary": [b"\x00\xff", b""],
            "datetime": pd.to_datetime(["2026-01-31T12:30:00", "2026-02-01T00:00:01"]).astype(
                "datetime64[ns]"
            ),
        }
    )
    mlflow.pyfunc.save_model(
        folder,
        python_model=Echo(),
        signature=ModelSignature(columns, columns),
        input_example=example,
        pip_requirements=["pandas"],
    )


def save_unsigned(folder):
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    mlflow.sklearn.save_model(
        model, folder, pip_requirements=["scikit-learn"], serialization_format="cloudpickle"
    )


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for save in (save_columns, save_tensor, save_types, save_unsigned):
        save(str(root / save.__name__.removeprefix("save_")))
    broken = root / "broken"
    broken.mkdir()
    (broken / "MLmodel").write_text((root / "tensor" / "MLmodel").read_text())
    (root / "complete").touch()
