"""Send held-out flights through the gateway and compare the answers with the model's own.

An ordinary client of the Open Inference Protocol (NVIDIA's tritonclient) and ordinary MLflow code;
nothing of Plinth is imported. Two keys, because two teams are involved: PLINTH_KEY may call the
endpoint, PLINTH_MODEL_KEY belongs to the team that owns the model.

    PLINTH_KEY=plk_... PLINTH_MODEL_KEY=plk_... python client.py flights.parquet
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import tritonclient.http as triton
from features import COLUMNS, FIRST_TEST_MONTH, TEXT, read_flights

# The endpoint may answer from the model's ONNX form, which Plinth lets differ by this much.
ABSOLUTE, RELATIVE = 1e-5, 1e-4
SHOWN = 5


@dataclass(frozen=True)
class Answers:
    """What the endpoint said for each row, in order, and how long each request took (seconds)."""

    values: np.ndarray
    latencies_s: np.ndarray
    total_s: float


def main() -> int:
    """Return 0 when every answer is the model's own."""
    arguments = parse_arguments()
    try:
        key, model_key = os.environ["PLINTH_KEY"], os.environ["PLINTH_MODEL_KEY"]
    except KeyError as err:
        print(f"error: set {err.args[0]} to a Plinth key", file=sys.stderr)
        return 2
    rows = held_out(arguments.data, arguments.count)
    print(f"asking `{arguments.endpoint}` at {arguments.address} for {len(rows):,} flights")
    answers = ask(arguments.address, arguments.endpoint, key, rows)
    expected = own_predictions(arguments.address, model_key, arguments.model, rows)
    return report(answers, expected)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="the Parquet file of prepare.py")
    parser.add_argument("--address", default="127.0.0.1:8470", help="the gateway's host and port")
    parser.add_argument("--endpoint", default="flights-delay")
    parser.add_argument("--model", default="models:/flights-delay@champion")
    parser.add_argument("--count", type=int, default=2000, help="how many flights to send")
    return parser.parse_args()


def held_out(data: Path, count: int) -> pd.DataFrame:
    """Return `count` flights of the months that training never saw, the same ones each time."""
    flights = read_flights(data)
    unseen = flights[(flights["month"] >= FIRST_TEST_MONTH) & flights["arr_delay"].notna()]
    return unseen.sample(min(count, len(unseen)), random_state=7)[COLUMNS].reset_index(drop=True)


def ask(address: str, endpoint: str, key: str, rows: pd.DataFrame) -> Answers:
    """Send one request for each row over one connection."""
    client = triton.InferenceServerClient(address)
    headers = {"Authorization": f"Bearer {key}"}
    values, latencies = [], []
    try:
        began = time.perf_counter()
        for place in range(len(rows)):
            inputs = tensors(rows.iloc[place : place + 1])
            sent = time.perf_counter()
            answer = client.infer(endpoint, inputs, headers=headers)
            latencies.append(time.perf_counter() - sent)
            values.append(answer.as_numpy(answer.get_response()["outputs"][0]["name"])[0])
        total = time.perf_counter() - began
    finally:
        client.close()
    return Answers(np.asarray(values), np.asarray(latencies), total)


def tensors(rows: pd.DataFrame) -> list[triton.InferInput]:
    """Return one tensor of shape (rows,) for each column: BYTES for text, FP64 for numbers."""
    found = []
    for column in COLUMNS:
        is_text = column in TEXT
        values = rows[column].to_numpy(dtype=np.object_ if is_text else np.float64)
        tensor = triton.InferInput(column, list(values.shape), "BYTES" if is_text else "FP64")
        # Binary, because JSON has no way to say NaN (weather that nobody measured).
        tensor.set_data_from_numpy(values, binary_data=True)
        found.append(tensor)
    return found


def own_predictions(address: str, key: str, model: str, rows: pd.DataFrame) -> np.ndarray:
    """Load the model from the registry and predict here."""
    os.environ["MLFLOW_TRACKING_TOKEN"] = key
    mlflow.set_tracking_uri(f"http://{address}")
    return np.asarray(mlflow.pyfunc.load_model(model).predict(rows))


def report(answers: Answers, expected: np.ndarray) -> int:
    """Print matches and speed; return the exit code."""
    if answers.values.shape != expected.shape:
        print(f"error: shape {answers.values.shape} came, the model gives {expected.shape}")
        return 1
    wrong = np.flatnonzero(~np.isclose(answers.values, expected, RELATIVE, ABSOLUTE).all(axis=1))
    p50, p99 = (np.percentile(answers.latencies_s, share) * 1000 for share in (50, 99))
    print(
        f"{len(expected) - len(wrong):,} of {len(expected):,} answers match the model's own; "
        f"{len(expected) / answers.total_s:.0f} requests/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )
    for place in wrong[:SHOWN]:
        print(f"row {place}: endpoint {answers.values[place]}, model {expected[place]}")
    return 1 if len(wrong) else 0


if __name__ == "__main__":
    raise SystemExit(main())
