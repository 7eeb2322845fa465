"""Every named point of a job's, a deployment's and an endpoint's life, and whom we kill there.

The kill journeys stop real processes at these points, and docs/explanation/units.md lists them.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTROL, AGENT, MLFLOW, ENVOY = "control plane", "agent", "MLflow", "Envoy"
SUPERVISOR, SERVER, JOB = "supervisor", "model server", "job"

SHARED = (CONTROL, AGENT, MLFLOW, ENVOY)
VICTIMS = (*SHARED, SUPERVISOR, SERVER, JOB)


@dataclass(frozen=True)
class Point:
    """A moment of a life. `held`: what keeps it there in a test, with nothing in the product.

    `own`: which of its own processes exist then.
    """

    subject: str
    name: str
    held: str
    own: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.subject}: {self.name}"

    @property
    def victims(self) -> tuple[str, ...]:
        """Whom there is to kill."""
        return (*SHARED, *self.own)


_JOB = (SUPERVISOR, JOB)
_SERVER = (SUPERVISOR, SERVER)


def _job(name: str, held: str, own: tuple[str, ...] = ()) -> Point:
    return Point("job", name, held, own)


def _deployment(name: str, held: str, own: tuple[str, ...] = ()) -> Point:
    return Point("deployment", name, held, own)


def _endpoint(name: str, held: str) -> Point:
    return Point("endpoint", name, held)


ACCEPTED = _job("accepted", "killed as soon as the answer has come")
BUILDING = _job("environment building", "another builder has the lock of that environment")
TRACKING = _job("MLflow run being made", "MLflow is paused")
WRITTEN = _job("attempt written", "the agent is paused")
STARTING = _job("starting", "killed as soon as the unit's folder appears", _JOB)
RUNNING = _job("running", "it waits for a file", _JOB)
ENDING = _job("ending", "it waits for a file after SIGTERM", _JOB)
EXIT_WRITTEN = _job("exit written", "the control plane is paused as the job ends")
NOT_CLOSED = _job("ended, not closed", "MLflow is paused as the job ends")
CLOSED = _job("closed", "it has ended")

D_STARTING = _deployment("starting", "another builder has the lock of its environment")
D_LOADING = _deployment("loading its model", "the model waits for a file", _SERVER)
D_READY = _deployment("ready", "another has the duty to publish", _SERVER)
D_SERVING = _deployment("serving", "it answers requests", _SERVER)
D_RESTARTING = _deployment("restarting", "the model waits for a file again", _SERVER)
D_STOPPING = _deployment("stopping", "a child of it waits for a file after SIGTERM", _SERVER)

APPLIED = _endpoint("applied", f"its deployment is {D_STARTING.name}")
DEPLOYING = _endpoint("deploying", f"its deployment is {D_LOADING.name}")
MOVING = _endpoint("traffic moving", f"its next deployment is {D_READY.name}")
SERVING = _endpoint("serving", f"its deployment is {D_SERVING.name}")
REPLACED = _endpoint("old deployment stopping", f"the one before is {D_STOPPING.name}")
STOPPING = _endpoint("stopping", f"its deployment is {D_STOPPING.name}")
DELETING = _endpoint("deleting", f"its deployment is {D_STOPPING.name}")

JOB_POINTS = (
    *(ACCEPTED, BUILDING, TRACKING, WRITTEN, STARTING),
    *(RUNNING, ENDING, EXIT_WRITTEN, NOT_CLOSED, CLOSED),
)
DEPLOYMENT_POINTS = (D_STARTING, D_LOADING, D_READY, D_SERVING, D_RESTARTING, D_STOPPING)
ENDPOINT_POINTS = (APPLIED, DEPLOYING, MOVING, SERVING, REPLACED, STOPPING, DELETING)
POINTS = (*JOB_POINTS, *DEPLOYMENT_POINTS, *ENDPOINT_POINTS)
