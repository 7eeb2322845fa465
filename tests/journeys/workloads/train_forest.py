"""Register a version of the model `forest`: texts and numbers in, probabilities out.

The arguments are the packages that it needs.
"""

import sys

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

NAME = "forest"
ROWS = 2000

draw = np.random.default_rng(1)
table = pd.DataFrame(
    {
        "carrier": draw.choice(["AA", "UA", "DL"], ROWS),
        "distance": draw.uniform(100, 3000, ROWS),
    }
)
late = (table.distance > 1500) ^ (table.carrier == "UA")
encode = OneHotEncoder(handle_unknown="ignore")
columns = ColumnTransformer(
    [("text", encode, ["carrier"]), ("numbers", "passthrough", ["distance"])]
)
model = make_pipeline(columns, RandomForestClassifier(100, random_state=1)).fit(table, late)
with mlflow.start_run():
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(table, model.predict_proba(table)),
        input_example=table.head(4),
        pip_requirements=sys.argv[1:],
        serialization_format="cloudpickle",
        pyfunc_predict_fn="predict_proba",
        registered_model_name=NAME,
    )
print("version", logged.registered_model_version)
