"""The program that answers many rows: one that shares them out, and workers with the model.

It runs in environments that know nothing of Plinth: every import here is relative, from the
standard library, or one of numpy, pyarrow, onnxruntime, and in the model's own environment pandas,
mlflow, scikit-learn and skl2onnx. Python >= 3.10. `work`, `journal`, `records` and `order` need
the standard library only. Started as `python -m batchrunner --order FILE` with PYTHONPATH set.
"""
