"""What the parts of Envoy's configuration call each other; the access log reads the names back."""

from __future__ import annotations

ENDPOINT_ROUTE = "endpoint:"
CANDIDATE_ROUTE = "candidate:"
DEPLOYMENT = "deployment:"
# The filter that verifies keys.
WHO = "plinth.who"
# What the access log says before the reason for which the gate refused a request.
DENIED = "plinth_denied"
# The clusters of the control plane and of MLflow.
CONTROL = "control"
TRACKING = "mlflow"


def deployment_cluster(deployment_id: str) -> str:
    """Return the cluster that answers for one deployment, in what the endpoint's callers speak.

    It takes requests as callers send them: OpenAI's paths, or `/v2/models/ENDPOINT`, with the
    endpoint's name as the model. Whatever an external provider wants else is done behind it.
    """
    return f"{DEPLOYMENT}{deployment_id}"


def way_cluster(endpoint: str) -> str:
    """Return the cluster that tries an endpoint's deployments one after the other."""
    return f"way:{endpoint}"


def shadow_cluster(deployment_id: str) -> str:
    """Return the cluster that takes copies of requests for a deployment, and logs them itself."""
    return f"shadow:{deployment_id}"
