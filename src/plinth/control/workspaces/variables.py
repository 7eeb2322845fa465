"""What lets notebooks find the platform: MLflow under the team, models through the gateway."""

from __future__ import annotations

import json

from plinth.control.tags import tags_of
from plinth.store.runs import StoredRun


def for_notebooks(address: str, key: str, run: StoredRun) -> dict[str, str]:
    """Return the variables that MLflow's and OpenAI's clients read, with the session's own key."""
    return {
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_TRACKING_TOKEN": key,
        "MLFLOW_EXPERIMENT_NAME": run.workload.name,
        # Tags of the runs that cells begin: what they log is traced to the workspace.
        "MLFLOW_RUN_CONTEXT": json.dumps(tags_of(run)),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "OPENAI_BASE_URL": f"{address}/v1",
        "OPENAI_API_KEY": key,
    }
