"""Train and register a classifier of late arrivals (15 minutes or more).

Plain MLflow code: Plinth gives the run (MLFLOW_RUN_ID), the server and the key by environment
variables, and the data by PLINTH_DATA_FLIGHTS. It runs the same against any MLflow server.
"""

from __future__ import annotations

import os
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from features import COLUMNS, FIRST_TEST_MONTH, LATE_MINUTES, NUMBERS, TEXT, read_flights
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

MODEL = "flights-delay"
ALIAS = "champion"
# Chosen on two rolling folds inside January to October: many weak trees that each see a third of
# the columns carry over to other months better than the defaults do.
PARAMETERS = {
    "learning_rate": 0.05,
    "max_iter": 300,
    "max_leaf_nodes": 16,
    "min_samples_leaf": 500,
    "max_features": 0.3,
    "random_state": 13,
}
# What skops must be told to load again; none of them runs code from the file.
TRUSTED_TYPES = [
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
]


def main() -> None:
    """Train, compare with two baselines, log, register, and point the alias at the new version."""
    path = Path(os.environ["PLINTH_DATA_FLIGHTS"])
    flights = read_flights(path)
    arrived = flights[flights["arr_delay"].notna()]
    print(
        f"{len(flights):,} flights; {len(flights) - len(arrived):,} were cancelled or diverted: "
        "they never arrived, so they are left out"
    )
    train = arrived[arrived["month"] < FIRST_TEST_MONTH]
    test = arrived[arrived["month"] >= FIRST_TEST_MONTH]
    print(f"train on {len(train):,} (January to October), test on {len(test):,} (to December)")

    with mlflow.start_run():
        mlflow.log_params({"model": "HistGradientBoostingClassifier", **PARAMETERS})
        mlflow.log_params({"late_minutes": LATE_MINUTES, "features": ",".join(COLUMNS)})
        log_dataset(train)
        model = boosted_trees().fit(train[COLUMNS], is_late(train))
        scores = evaluate(model, train, test)
        mlflow.log_metrics(scores)
        version = log_model(model, arrived)
        # The endpoint serves probabilities, so the log loss decides, not the ranking alone.
        if scores["log_loss"] >= scores["baseline_log_loss"]:
            raise SystemExit(f"version {version} is no better than the baseline: not promoted")
        MlflowClient().set_registered_model_alias(MODEL, ALIAS, version)
    print(f"models:/{MODEL}@{ALIAS} is version {version}")


def is_late(flights: pd.DataFrame) -> pd.Series:
    """Return the label: True where the flight arrived LATE_MINUTES or more after its time."""
    return flights["arr_delay"] >= LATE_MINUTES


def boosted_trees() -> Pipeline:
    """Return the model: raw columns in, probability out. Unknown places count as missing."""
    encode = ColumnTransformer(
        [
            (
                "text",
                OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
                TEXT,
            ),
            ("numbers", "passthrough", NUMBERS),
        ]
    )
    trees = HistGradientBoostingClassifier(
        categorical_features=list(range(len(TEXT))), early_stopping=False, **PARAMETERS
    )
    return Pipeline([("encode", encode), ("trees", trees)])


def logistic() -> Pipeline:
    """Return the baseline that a careful person would write first."""
    encode = ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore", min_frequency=200), TEXT),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        ]
    )
    return Pipeline([("encode", encode), ("logistic", LogisticRegression(max_iter=200))])


def evaluate(model: Pipeline, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """Return the scores on the test months: the model's, the logistic baseline's, the base rate's.

    The base rate is the share of late flights in training, given to every flight.
    """
    late = is_late(test)
    rate = float(is_late(train).mean())
    linear = logistic().fit(train[COLUMNS], is_late(train))
    found = {
        "": probability(model, test),
        "baseline_": probability(linear, test),
        "base_rate_": np.full(len(test), rate),
    }
    scores = {
        f"{prefix}{name}": float(score(late, guess))
        for prefix, guess in found.items()
        for name, score in (
            ("roc_auc", roc_auc_score),
            ("pr_auc", average_precision_score),
            ("log_loss", log_loss),
            ("brier", brier_score_loss),
        )
    }
    print(f"{'':14}{'ROC AUC':>9}{'PR AUC':>9}{'log loss':>10}{'Brier':>9}")
    for title, prefix in (("boosted trees", ""), ("logistic", "baseline_")):
        _print_row(title, prefix, scores)
    _print_row("base rate", "base_rate_", scores)
    return scores | {"train_late_share": rate, "test_late_share": float(late.mean())}


def _print_row(title: str, prefix: str, scores: dict[str, float]) -> None:
    roc, pr, loss, brier = (
        scores[f"{prefix}{name}"] for name in ("roc_auc", "pr_auc", "log_loss", "brier")
    )
    print(f"{title:14}{roc:9.4f}{pr:9.4f}{loss:10.4f}{brier:9.4f}")


def probability(model: Pipeline, flights: pd.DataFrame) -> np.ndarray:
    """Return the probability of a late arrival for each flight."""
    return model.predict_proba(flights[COLUMNS])[:, 1]


def log_dataset(train: pd.DataFrame) -> None:
    """Tell MLflow which data version the run read."""
    digest = os.environ.get("PLINTH_DATA_FLIGHTS_DIGEST", "")
    version = os.environ.get("PLINTH_DATA_FLIGHTS_VERSION", "")
    dataset = mlflow.data.from_pandas(
        train[[*COLUMNS, "arr_delay"]],
        source=os.environ.get("PLINTH_DATA_FLIGHTS_URI", os.environ["PLINTH_DATA_FLIGHTS"]),
        name="flights",
        targets="arr_delay",
        # MLflow keeps 36 characters; the tag has them all.
        digest=digest.removeprefix("sha256:")[:32] or None,
    )
    mlflow.log_input(dataset, context="training", tags={"version": version, "digest": digest})
    mlflow.set_tags({"data.flights.version": version, "data.flights.digest": digest})


def log_model(model: Pipeline, flights: pd.DataFrame) -> int:
    """Log the model with signature, example and pinned requirements; return its version.

    The signature comes from all flights: a column with missing values somewhere may miss them
    in requests too. The example has none, so that it can be written as plain JSON.
    """
    example = flights[COLUMNS].dropna().head(3).reset_index(drop=True)
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        # Probabilities, not classes: whoever calls chooses the threshold.
        pyfunc_predict_fn="predict_proba",
        signature=infer_signature(flights[COLUMNS], model.predict_proba(example)),
        input_example=example,
        pip_requirements=str(Path(__file__).with_name("requirements.txt")),
        registered_model_name=MODEL,
        skops_trusted_types=TRUSTED_TYPES,
    )
    return int(logged.registered_model_version)


if __name__ == "__main__":
    main()
