"""Run in a model's environment: train the flights' model and write its input many times over.

`python batch_model.py FLIGHTS FOLDER COPIES FILES`. Beside it on the path: examples/flights.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> None:
    """Save `model` and `in/*.parquet` below the folder."""
    flights, folder, copies, files = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])
    # They stand on the path of the environment this runs in, and nowhere else.
    train = importlib.import_module("train")
    features = importlib.import_module("features")
    models = importlib.import_module("mlflow.models")
    sklearn = importlib.import_module("mlflow.sklearn")
    pandas = importlib.import_module("pandas")
    rows = features.read_flights(flights)
    columns = features.COLUMNS
    arrived = rows[rows["arr_delay"].notna()]
    sample = arrived.sample(100_000, random_state=1)
    model = train.boosted_trees().fit(sample[columns], train.is_late(sample))
    example = arrived[columns].dropna().head(3).reset_index(drop=True)
    sklearn.save_model(
        model,
        folder / "model",
        pyfunc_predict_fn="predict_proba",
        signature=models.infer_signature(rows[columns], model.predict_proba(example)),
        input_example=example,
        pip_requirements=["scikit-learn"],
        skops_trusted_types=train.TRUSTED_TYPES,
    )
    whole = pandas.concat([rows[columns]] * copies, ignore_index=True)
    whole.insert(0, "id", range(len(whole)))
    (folder / "in").mkdir()
    size = -(-len(whole) // files)
    for number in range(files):
        part = whole.iloc[number * size : (number + 1) * size]
        part.to_parquet(folder / "in" / f"{number:03d}.parquet", index=False)


if __name__ == "__main__":
    main()
