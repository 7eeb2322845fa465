"""Train a classifier of customers who leave, and register it: plain MLflow code."""

from __future__ import annotations

import os
import sys

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = "churn"
COLUMNS = ["months", "orders", "complaints", "price_rise"]


def main(strength: float) -> None:
    """Train on the first three quarters, test on the rest; move the alias to the new version."""
    customers = pd.read_csv(os.environ["PLINTH_DATA_CUSTOMERS"])
    customers[COLUMNS] = customers[COLUMNS].astype(float)
    cut = len(customers) * 3 // 4
    train, test = customers[:cut], customers[cut:]
    with mlflow.start_run():  # the run that Plinth made for this job
        mlflow.log_param("strength", strength)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
        model.fit(train[COLUMNS], train["left"])
        auc = roc_auc_score(test["left"], model.predict_proba(test[COLUMNS])[:, 1])
        mlflow.log_metric("roc_auc", auc)
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(train[COLUMNS], model.predict(train[COLUMNS])),
            input_example=train[COLUMNS].head(3),
            pip_requirements="requirements.txt",
            registered_model_name=MODEL,
        )
        version = logged.registered_model_version
        MlflowClient().set_registered_model_alias(MODEL, "champion", version)
    print(f"{MODEL} version {version}: ROC AUC {auc:.3f} on {len(test)} customers it has not seen")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
