"""What one function needs, read off any kind of workload: what rules, offers and costs ask.

A job and an endpoint are one need each, an application one for each part. A field that does not
apply to a function has its empty value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from plinth.domain.application import (
    HOURS_PER_MONTH,
    Application,
    Batch,
    BatchDemand,
    Data,
    Explore,
    ExploreDemand,
    Flow,
    Method,
    Online,
    OnlineDemand,
    Part,
    Train,
    TrainDemand,
)
from plinth.domain.batch import BatchInference
from plinth.domain.flow import FlowEvaluation, PromptFlow
from plinth.domain.model_conversion import ModelConversion
from plinth.domain.model_server import MODEL_SERVERS
from plinth.domain.platform import Function, ModelFormat
from plinth.domain.request_batch import RequestBatch
from plinth.domain.requirements import Requirements
from plinth.domain.resources import ResourceRequest
from plinth.domain.workload import AnyWorkload, Endpoint, Job
from plinth.domain.workspace import Workspace

_HOUR_S = 3600.0
FUNCTIONS: Mapping[str, Function] = {
    "explore": "explore",
    "train": "train",
    "tune": "train",
    "batch": "batch",
    "online": "online",
    "flow": "flow",
}
Demand = ExploreDemand | TrainDemand | BatchDemand | OnlineDemand


@dataclass(frozen=True, slots=True)
class Need:
    """One function's need. `prefix` stands before its fields in the file: "" or `online.`.

    `paths`: another prefix by a field's first word, where not all of its fields stand together.
    `instances`: how many machines, or replicas, of the resources at once. `demand` None: nobody
    said, as for a plain job. `data`: what it reads, by name. `others`: the application's other
    parts. `network`: of a job. `kind`: of the file it comes from. `tuned`: the hosted model that it
    asks is the one that the application tunes. `sleeps`: its own host ends its processes while
    nobody asks, wherever it stands.
    """

    name: str
    kind: str
    function: Function
    requirements: Requirements
    resources: ResourceRequest
    prefix: str = ""
    team: str | None = None
    instances: int = 1
    demand: Demand | None = None
    data: Mapping[str, Data] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    network: str | None = None
    gpu_reason: str | None = None
    gpu_hours: float | None = None
    team_share: bool = False
    method: Method | None = None
    base_model: str | None = None
    model: str | None = None
    tuned: bool = False
    format: ModelFormat | None = None
    server: str | None = None
    window: float | None = None
    target: str = "model"
    spark: bool = False
    split: bool = False
    mirror_percent: int = 0
    sleeps: bool = False
    tool: str | None = None
    paths: Mapping[str, str] = field(default_factory=dict)

    def at(self, path: str) -> str:
        """Return the path in the file of a field of this need."""
        return f"{self.paths.get(path.partition('.')[0], self.prefix)}{path}"

    @property
    def instances_field(self) -> str:
        """The path of the field that says how many instances there are."""
        if self.function == "explore":
            return self.at("demand.users")
        return self.at("replicas" if self.function in ("online", "flow") else "nodes")

    @property
    def instances_at_peak(self) -> int:
        """Instances for the peak, by what one was measured to answer; without that, as stated."""
        demand = self.demand
        if not isinstance(demand, OnlineDemand) or demand.replica_requests_per_second is None:
            return self.instances
        each = Decimal(str(demand.replica_requests_per_second))
        return max(self.instances, math.ceil(Decimal(str(demand.peak)) / each))

    @property
    def run_hours(self) -> float | None:
        """Hours of one run, as it was stated for the resources; None: unknown, or no runs."""
        demand = self.demand
        if isinstance(demand, TrainDemand | BatchDemand) and demand.duration is not None:
            return demand.duration / _HOUR_S
        if isinstance(demand, BatchDemand) and demand.rows and demand.rows_per_second:
            return demand.rows / (demand.rows_per_second * self.instances) / _HOUR_S
        return None

    @property
    def busy_hours(self) -> float | None:
        """Hours of a month in which its compute is used; None: unknown.

        Of runs, more than a month has where several must go on at once. A GPU is used for no more
        hours than a person may hold one.
        """
        demand = self.demand
        if isinstance(demand, ExploreDemand):
            hours = min(HOURS_PER_MONTH, demand.hours)
            if self.resources.accelerator is None or self.gpu_hours is None:
                return hours
            return min(hours, self.gpu_hours)
        if isinstance(demand, OnlineDemand):
            return min(HOURS_PER_MONTH, demand.active_hours)
        if isinstance(demand, TrainDemand | BatchDemand) and self.run_hours is not None:
            return demand.runs * self.run_hours
        return None

    @property
    def requests(self) -> float | None:
        """Requests, or rows, of a month; None: unknown, or none are counted."""
        demand = self.demand
        if isinstance(demand, OnlineDemand):
            return demand.requests_per_second * demand.active_hours * _HOUR_S
        if isinstance(demand, BatchDemand) and demand.rows is not None:
            return demand.rows * demand.runs
        return None

    @property
    def moved_bytes(self) -> float:
        """Bytes that it reads in a month: its data for each run, once where nothing runs."""
        return sum(self.moved_bytes_of(each) for each in self.data.values())

    def moved_bytes_of(self, data: Data) -> float:
        """Bytes of one of its data that it reads in a month."""
        runs = self.demand.runs if isinstance(self.demand, TrainDemand | BatchDemand) else 1
        return data.size * runs

    @property
    def uses_hosted_model(self) -> bool:
        """Tell whether the model is a provider's own, which no other platform has."""
        return self.model is not None

    @property
    def reads_production_data(self) -> bool:
        """Tell whether any of its data is real data of production."""
        return any(each.production for each in self.data.values())


def needs_of(workload: AnyWorkload | Application) -> tuple[Need, ...]:
    """Return what each function of a workload needs, in the order of the guidance.

    Of an endpoint: what each deployment needs that is a model of our own, in the file's order.
    """
    if isinstance(workload, Job):
        return (_of_job(workload),)
    if isinstance(workload, PromptFlow | FlowEvaluation):
        return (_of_flow(workload),)
    if isinstance(workload, BatchInference):
        return (_of_batch(workload),)
    if isinstance(workload, RequestBatch):
        return (_of_requests(workload),)
    if isinstance(workload, ModelConversion):
        return (_of_conversion(workload),)
    if isinstance(workload, Workspace):
        return (_of_workspace(workload),)
    if isinstance(workload, Endpoint):
        deployments = workload.by_name().items()
        return tuple(need_of(workload, name) for name, one in deployments if one.external is None)
    return tuple(_of_part(workload, name, part) for name, part in workload.parts.items())


def _of_job(job: Job) -> Need:
    return Need(
        name=job.name,
        kind=job.kind,
        function="train",
        requirements=job.requirements,
        resources=job.resources,
        team=job.team,
        network=job.network,
    )


def _of_batch(batch: BatchInference) -> Need:
    return Need(
        name=batch.name,
        kind=batch.kind,
        function="batch",
        requirements=batch.requirements,
        resources=batch.resources,
        team=batch.team,
        # Plinth's registry is MLflow's: what answers is a model in MLflow's format.
        format="mlflow-pyfunc",
    )


def _of_conversion(conversion: ModelConversion) -> Need:
    """Return what a conversion needs; it answers rows of the model's own data, as a batch does."""
    return Need(
        name=conversion.name,
        kind=conversion.kind,
        function="batch",
        requirements=conversion.requirements,
        resources=conversion.resources,
        team=conversion.team,
    )


def _of_requests(requests: RequestBatch) -> Need:
    return Need(
        name=requests.name,
        kind=requests.kind,
        function="batch",
        requirements=requests.requirements,
        resources=requests.resources,
        team=requests.team,
    )


def _of_workspace(workspace: Workspace) -> Need:
    gpu = workspace.gpu
    return Need(
        name=workspace.name,
        kind=workspace.kind,
        function="explore",
        requirements=workspace.requirements,
        resources=workspace.resources,
        team=workspace.team,
        network=workspace.network,
        gpu_reason=None if gpu is None else gpu.reason,
        gpu_hours=None if gpu is None else gpu.max_time / _HOUR_S,
        team_share=True,
        tool=workspace.tool,
    )


def _of_flow(flow: PromptFlow | FlowEvaluation) -> Need:
    return Need(
        name=flow.name,
        kind=flow.kind,
        function="flow",
        requirements=flow.requirements,
        resources=flow.resources,
        team=flow.team,
        network=flow.network,
        sleeps=isinstance(flow, PromptFlow) and flow.sleeps,
    )


def need_of(endpoint: Endpoint, name: str) -> Need:
    """Return what one deployment of an endpoint needs; the only one has the endpoint's name."""
    one = endpoint.by_name()[name]
    own = f"deployments.{name}." if endpoint.deployments else ""
    # Nobody plans for the server of a model elsewhere.
    server = None if one.external is not None else MODEL_SERVERS.get(one.runtime)
    return Need(
        name=name if endpoint.deployments else endpoint.name,
        kind=endpoint.kind,
        function="online",
        requirements=endpoint.requirements,
        resources=one.resources or endpoint.resources,
        team=endpoint.team,
        instances=one.replicas,
        format=None if server is None else server.format,
        paths={"replicas": own, "resources": own if one.resources else ""},
    )


def _of_part(application: Application, name: str, part: Part) -> Need:
    shared = application.requirements
    said = {each: getattr(part.requirements, each) for each in part.requirements.model_fields_set}
    return Need(
        name=name,
        kind=application.kind,
        function=FUNCTIONS[name],
        # Both are checked already, so nothing is read anew.
        requirements=shared.model_copy(update=said) if said else shared,
        resources=part.resources,
        prefix=f"{name}.",
        team=application.team,
        instances=_instances(part),
        demand=part.demand,
        data={each: application.data[each] for each in part.data},
        others=tuple(each for each in application.parts if each != name),
        gpu_reason=part.gpu_reason if isinstance(part, Explore) else None,
        gpu_hours=part.gpu_hours if isinstance(part, Explore) else None,
        team_share=isinstance(part, Explore) and part.team_share,
        method=part.method if isinstance(part, Train) else None,
        base_model=part.base_model if isinstance(part, Train) else None,
        model=part.model if isinstance(part, Batch | Online) else None,
        tuned=isinstance(part, Batch | Online) and _is_tuned(application, part.model),
        format=part.format if isinstance(part, Batch | Online) else None,
        server=part.server if isinstance(part, Batch | Online) else None,
        window=part.window if isinstance(part, Batch) else None,
        target=part.target if isinstance(part, Batch) else "model",
        spark=isinstance(part, Batch) and part.spark,
        split=isinstance(part, Online) and part.split,
        mirror_percent=part.mirror_percent if isinstance(part, Online) else 0,
        tool=part.tool if isinstance(part, Flow) else None,
    )


def _is_tuned(application: Application, model: str | None) -> bool:
    """Tell whether the application tunes this hosted model, so that the tuned one is served."""
    base = None if application.tune is None else application.tune.base_model
    return model is not None and base is not None and model.casefold() == base.casefold()


def _instances(part: Part) -> int:
    if isinstance(part, Explore):
        return part.demand.users
    return part.nodes if isinstance(part, Train | Batch) else part.replicas
