"""Our own thin Open Inference Protocol V2 REST server for MLflow models.

It runs inside the *model's* environment, which knows nothing of Plinth: every import here is
relative, from the standard library, or one of numpy, pandas, mlflow and uvicorn. Python >= 3.10.
Started as `python -m v2server --model DIR --name NAME --version V --fd 3` with PYTHONPATH set to
the folder that holds this package (`__main__` takes that folder off the path again).
"""
