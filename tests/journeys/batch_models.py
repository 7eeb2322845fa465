"""Run inside a model environment: save the models that `test_batchrunner` runs.

`python batch_models.py FOLDER`. Requirements are pinned by hand: MLflow's inference of them takes
seconds for each model.
"""

import os
import signal
import sys
import time
from pathlib import Path

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder


class Careful(mlflow.pyfunc.PythonModel):
    """Doubles `x`; raises, sleeps or dies where the row says so."""

    def predict(self, context, model_input, params=None):
        said = set(model_input["said"])
        if "raise" in said:
            raise ValueError("told to raise")
        if "exit" in said:
            raise SystemExit(0)
        if "die" in said:
            os.kill(os.getpid(), signal.SIGKILL)
        if "short" in said:
            return pd.DataFrame({"y": [1.0]})
        if said == {"none"}:
            return pd.DataFrame({"y": [None] * len(model_input)})
        if "sleep" in said:
            time.sleep(0.1)
        return pd.DataFrame({"y": model_input["x"] * 2})


def table(rows=2000):
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "carrier": rng.choice(list("ABCDEFGH"), rows),
            "distance": rng.uniform(100, 3000, rows),
            "temp": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
        }
    )


def encoded(last):
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer(
        [("text", encode, ["carrier"]), ("numbers", "passthrough", ["distance", "temp"])]
    )
    return make_pipeline(columns, last)


def save(model, folder, inputs, outputs, **more):
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=infer_signature(inputs, outputs),
        input_example=inputs.head(3) if hasattr(inputs, "head") else inputs[:3],
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
        **more,
    )


def save_all(root):
    data = table()
    late = (data.distance > 1500) ^ data.carrier.isin(["B", "F", "H"])
    trees = encoded(HistGradientBoostingClassifier(categorical_features=[0], max_iter=30))
    trees.fit(data, late)
    save(trees, root / "trees", data, trees.predict_proba(data), pyfunc_predict_fn="predict_proba")
    three = encoded(HistGradientBoostingClassifier(categorical_features=[0], max_iter=20))
    three.fit(data, pd.cut(data.distance, 3, labels=False))
    save(three, root / "labels", data, three.predict(data))
    count = encoded(
        HistGradientBoostingRegressor(categorical_features=[0], loss="poisson", max_iter=20)
    )
    count.fit(data, np.floor(data.distance / 500))
    save(count, root / "counts", data, count.predict(data))
    matrix = data[["distance", "temp"]].fillna(0).to_numpy()
    forest = RandomForestRegressor(20, max_depth=8).fit(matrix, matrix.sum(axis=1))
    save(forest, root / "forest", matrix, forest.predict(matrix))
    signature = ModelSignature(
        Schema([ColSpec("double", "x"), ColSpec("string", "said")]),
        Schema([ColSpec("double", "y")]),
    )
    mlflow.pyfunc.save_model(
        root / "careful",
        python_model=Careful(),
        signature=signature,
        input_example=pd.DataFrame({"x": [1.0], "said": [""]}),
        pip_requirements=["pandas"],
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    save_all(target)
    table().assign(id=range(2000)).to_parquet(target / "table.parquet", index=False)
    (target / "complete").touch()
