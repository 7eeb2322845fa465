"""A plan made by hand for an application made by hand; two places, one unknown, one refusal."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from plinth.domain.application import Application
from plinth.domain.load import load_as
from plinth.domain.plan import (
    Advice,
    Candidate,
    Change,
    CostLine,
    Headroom,
    MonthCost,
    Outcome,
    PartPlan,
    ScoreLine,
    Verdict,
)
from plinth.domain.platform import Offer
from plinth.domain.resources import Accelerator

MADE_ON = date(2026, 11, 22)
FILE = """
kind: application
name: support-bot
team: research
requirements: {residency: eu, criticality: production, rto: 4h, budget: 30000 EUR}
data:
  tickets: {size: 40GB, region: westeurope, platform: databricks-jobs, production: true}
weights: {hour: 90}
train:
  data: [tickets]
  requirements: {interruptible: true, checkpoint: verified}
  resources: {cpu: 8, memory: 32GB, accelerator: "T4:1"}
  demand: {runs: 8, duration: 3h}
online:
  model: gpt-4o
  requirements: {latency: 800ms}
  demand: {requests_per_second: 12, input_tokens: 900, output_tokens: 250}
"""
OK, NOT_OK, UNKNOWN = Outcome.OK, Outcome.NOT_OK, Outcome.UNKNOWN


def make_application() -> Application:
    """Return the application."""
    return load_as(Application, FILE, "app.yaml")


def verdict(
    rule: str, outcome: Outcome, reason: str, field: str | None = None, value: str = ""
) -> Verdict:
    """Return a verdict, with a change where a field is named."""
    change = None if field is None else Change(field=field, value=value)
    remedy = None if change is None else f"`{change}`"
    return Verdict(rule=rule, outcome=outcome, reason=reason, change=change, remedy=remedy)


def machine(sku: str, region: str, **more: object) -> Offer:
    """Return an offer of a machine with one GPU."""
    return Offer(
        sku=sku,
        region=region,
        cpu=8,
        memory=56_000_000_000,
        currency="EUR",
        accelerator=Accelerator(kind="T4"),
        **more,
    )


TRAIN_COST = MonthCost(
    currency="EUR",
    lines=(
        CostLine(
            what="NC8as_T4_v3, spot",
            amount=Decimal("6.34"),
            low=Decimal("5.07"),
            high=Decimal("18.05"),
            estimated=True,
            how="24 h x 0.264 EUR; spot at 35 % of the price without notice",
            source="our own list (2026-11-20)",
        ),
        CostLine(
            what="data from West Europe",
            amount=Decimal("0"),
            how="320 GB within one region",
            source="azure.com/pricing/bandwidth (2026-10-01)",
        ),
    ),
)
ONLINE_COST = MonthCost(
    currency="EUR",
    lines=(
        CostLine(
            what="190 provisioned units of gpt-4o",
            amount=Decimal("18250.00"),
            low=Decimal("16000"),
            high=Decimal("21000"),
            how="190 units x 730 h x 0.1316 EUR",
            source="Azure retail prices (2026-11-01)",
        ),
        CostLine(
            what="burst beyond the units",
            amount=None,
            how="4.1 % of 31.5 million requests; no price of gpt-4o in EUR is stated",
        ),
    ),
)
TRAIN = PartPlan(
    name="train",
    function="train",
    chosen=Candidate(
        platform="azureml-serverless-spot",
        offer=machine("NC8as_T4_v3", "westeurope", tier="spot"),
        verdicts=(
            verdict("R2.residency", OK, "West Europe (Netherlands) is in `eu`"),
            verdict("T5b", OK, "it is interruptible and its checkpoint is verified"),
            verdict(
                "R4", UNKNOWN, "the quota of T4 in westeurope is unknown; `plinth catalog import`"
            ),
        ),
        cost=TRAIN_COST,
        day2_hours=2.0,
        headroom=(Headroom(what="T4", needed=1, reachable=None, unit="GPUs"),),
        blind_spots=("what the machine did before it was taken back",),
        risks=("spot capacity may be gone for hours",),
    ),
    rejected=(
        Candidate(
            platform="databricks-jobs",
            offer=machine("NC8as_T4_v3", "westeurope", tier="pay-as-you-go"),
            verdicts=(verdict("R1", OK, "it is owned"),),
            cost=MonthCost(
                currency="EUR",
                lines=(CostLine(what="job", amount=Decimal("41.50"), how="24 h x 1.73 EUR"),),
            ),
            day2_hours=3.0,
            owned=True,
        ),
        Candidate(
            platform="aks",
            offer=machine("NC8as_T4_v3", "eastus", tier="pay-as-you-go"),
            verdicts=(
                verdict(
                    "R2.residency",
                    NOT_OK,
                    "East US (United States) is not in `eu`",
                    "requirements.residency",
                    "us",
                ),
                verdict("T7", NOT_OK, "Azure ML is the default & 100 % of it is free <b>"),
            ),
        ),
    ),
    regions={
        name: (verdict("R2.residency", NOT_OK, f"{name} is not in `eu`"),)
        for name in ("eastus", "westus", "japaneast")
    },
)
ONLINE = PartPlan(
    name="online",
    function="online",
    chosen=Candidate(
        platform="azure-openai-provisioned",
        offer=Offer(
            sku="gpt-4o 2024-11-20",
            region="swedencentral",
            cpu=0,
            memory=0,
            currency="EUR",
            tier="provisioned",
            model="gpt-4o",
            processed_in="region",
            standby="westeurope",
        ),
        verdicts=(verdict("H8b", OK, "throughput is promised; the peak needs 36 requests/s"),),
        count=190,
        cost=ONLINE_COST,
        day2_hours=4.0,
        headroom=(
            Headroom(
                what="provisioned units of gpt-4o",
                needed=190,
                reachable=300,
                unit="units",
                source="our quotas (2026-11-20)",
            ),
        ),
        blind_spots=(),
    ),
    rejected=(),
    regions=TRAIN.regions,
)


def make_advice(*parts: PartPlan) -> Advice:
    """Return the plan; `parts` in the place of its two."""
    return Advice(
        name="support-bot",
        currency="EUR",
        home="westeurope",
        parts=parts or (TRAIN, ONLINE),
        joint=(verdict("R5", OK, "1 of 2 parts is away from westeurope: 24 ms, 0.00 EUR"),),
        cost=MonthCost(
            currency="EUR",
            lines=(
                CostLine(
                    what="train",
                    amount=TRAIN_COST.amount,
                    low=TRAIN_COST.low,
                    high=TRAIN_COST.high,
                    estimated=True,
                    how="all of it",
                ),
                CostLine(what="online", amount=None, how="all of it"),
            ),
        ),
        day2_hours=6.0,
        score=(
            ScoreLine(what="cost", amount=Decimal("18256.34"), how="of a month, as far as known"),
            ScoreLine(what="day-2 work", amount=Decimal(540), how="6 x 90: hours"),
        ),
        inputs_digest="sha256:0a1b2c",
    )
