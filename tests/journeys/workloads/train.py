"""Register versions of the model `scale`, which answers y = x times a factor.

Each argument is a factor, or `broken` for a model that does not load. The alias `champion` points
at the first of this run.
"""

import sys

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

NAME = "scale"
SIGNATURE = ModelSignature(
    Schema([ColSpec("double", "x"), ColSpec("long", "n")]), Schema([ColSpec("double", "y")])
)
EXAMPLE = pd.DataFrame({"x": [1.0, 2.5], "n": [1, 2]})


class Scale(mlflow.pyfunc.PythonModel):
    """Multiplies."""

    def __init__(self, factor):
        self.factor = factor

    def load_context(self, context):
        """Fail when it is the broken one."""
        if self.factor == "broken" and "train.py" not in sys.argv[0]:
            raise ValueError("this model was made not to load")

    def predict(self, context, model_input, params=None):
        """Return `y` for each `x`."""
        factor = 0.0 if self.factor == "broken" else float(self.factor)
        return pd.DataFrame({"y": model_input["x"] * factor})


versions = []
with mlflow.start_run():
    mlflow.log_param("factors", " ".join(sys.argv[1:]))
    for factor in sys.argv[1:]:
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=Scale(factor),
            signature=SIGNATURE,
            input_example=EXAMPLE,
            # What is inferred instead takes ten seconds for each model.
            pip_requirements=["mlflow-skinny==" + mlflow.__version__, "pandas"],
            registered_model_name=NAME,
        )
        versions.append(int(logged.registered_model_version))
MlflowClient().set_registered_model_alias(NAME, "champion", versions[0])
print("versions", *versions)
