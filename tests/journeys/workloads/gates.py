"""Register two versions of the model `gate`, which answers y = x; each waits to be let through.

It loads when there is a file `go`. If there is a file `lingers` then, it leaves a child behind that
ignores SIGTERM until there is a file `gone`. The second version also asks for the package that is
given as argument.
"""

import os
import signal
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

NAME = "gate"
SIGNATURE = ModelSignature(
    Schema([ColSpec("double", "x"), ColSpec("long", "n")]), Schema([ColSpec("double", "y")])
)


def linger():
    """Stay for as long as there is no file `gone`, whoever asks to go."""
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # The server's socket and pipes are not ours.
        os.closerange(3, 256)
        while not Path("gone").exists():
            time.sleep(0.05)
        os._exit(0)


class Gate(mlflow.pyfunc.PythonModel):
    """Waits, then answers."""

    def load_context(self, context):
        """Wait to be let through."""
        print("loading", flush=True)
        while not Path("go").exists():
            time.sleep(0.05)
        if Path("lingers").exists():
            linger()

    def predict(self, context, model_input, params=None):
        """Return `y` for each `x`."""
        return pd.DataFrame({"y": model_input["x"]})


Path("go").touch()
with mlflow.start_run():
    for more in ([], sys.argv[1:]):
        mlflow.pyfunc.log_model(
            name="model",
            python_model=Gate(),
            signature=SIGNATURE,
            input_example=pd.DataFrame({"x": [1.0], "n": [1]}),
            pip_requirements=[f"mlflow-skinny=={mlflow.__version__}", "pandas", *more],
            registered_model_name=NAME,
        )
